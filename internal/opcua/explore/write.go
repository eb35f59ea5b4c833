package explore

import (
	"context"
	"errors"
	"fmt"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// plannedWrite is a write whose value is made.
type plannedWrite struct {
	node   *ua.NodeID
	value  *ua.Variant
	result mes.UAWritten
	// known is false of a node that the server does not know: it is not written.
	known bool
}

// Value makes the value for a variable of its type.
type Value func(Type) (*ua.Variant, error)

// planWrites reads the types and present values of variables, and makes the values for
// them. faults are those of the values, by their places; nothing is written while there
// are some.
func (s *Session) planWrites(ctx context.Context, items []mes.UAWrite, values []Value) (plan []plannedWrite, faults map[int]error, err error) {
	plan = make([]plannedWrite, len(items))
	var reads []*ua.ReadValueID
	var places []int
	for i, item := range items {
		plan[i].result = mes.UAWritten{Node: item.Node, Outcome: mes.UARefused}
		n, err := s.Node(item.Node)
		if err != nil {
			plan[i].result.UAStatus, plan[i].result.Detail = nodeFault(err), err.Error()
			continue
		}
		plan[i].node = n
		for _, a := range []ua.AttributeID{
			ua.AttributeIDNodeClass, ua.AttributeIDDataType, ua.AttributeIDValueRank, ua.AttributeIDArrayDimensions, ua.AttributeIDValue,
		} {
			reads = append(reads, readOf(n, a))
		}
		places = append(places, i)
	}
	read, err := s.read(ctx, reads)
	if err != nil {
		return nil, nil, served(err, "read the types of variables")
	}
	faults = map[int]error{}
	for k, i := range places {
		fault, err := s.plan(ctx, &plan[i], read[5*k:5*k+5], items[i].DataType, values[i])
		if err != nil {
			return nil, nil, err
		}
		if fault != nil {
			faults[i] = fault
		}
	}
	return plan, faults, nil
}

// plan makes the value of one write. fault is that of the value; a node that is no variable
// has the reason in its result.
func (s *Session) plan(ctx context.Context, w *plannedWrite, read []*ua.DataValue, named string, value Value) (fault, err error) {
	class, dataTypeValue, present := read[0], read[1], read[4]
	r := &w.result
	if class == nil || isBad(class.Status) {
		code := ua.StatusBadNodeIDUnknown
		if class != nil {
			code = class.Status
		}
		r.UAStatus, r.Detail = status(code), meaning(code)
		return nil, nil
	}
	dataType, ok := content(dataTypeValue).(*ua.NodeID)
	if !ok {
		r.UAStatus, r.Detail = status(ua.StatusBadAttributeIDInvalid), "it is no variable, or the server does not tell its data type"
		return nil, nil
	}
	var now *ua.Variant
	if present != nil && !isBad(present.Status) && present.Value != nil && present.Value.Value() != nil {
		now = present.Value
		if old, err := valueOf(now); err == nil {
			r.OldValue = &old
		}
	}
	dimensions, _ := content(read[3]).([]uint32)
	t, err := s.valueType(ctx, dataType, rankOf(read[2]), dimensions, now, named)
	if err != nil {
		if mes.ErrorCode(err) == mes.CodeInvalid {
			return err, nil
		}
		return nil, err
	}
	if w.value, fault = value(t); fault != nil {
		return fault, nil
	}
	r.DataType, w.known = variantType(w.value), true
	return nil, nil
}

// carryOut writes what is planned, in calls of what the server takes. What no answer came
// for is unknown. It tells whether the session is of no use any more.
func (s *Session) carryOut(ctx context.Context, plan []plannedWrite) (isBroken bool) {
	var places []int
	for i := range plan {
		if plan[i].known {
			places = append(places, i)
		}
	}
	size := perCall(s.limits.NodesPerWrite)
	for len(places) > 0 {
		part := places[:min(size, len(places))]
		places = places[len(part):]
		if isBroken {
			for _, i := range part {
				notTried(&plan[i].result)
			}
			continue
		}
		isBroken = s.writePart(ctx, plan, part)
	}
	return isBroken
}

// notTried is of what was not sent, since the connection was lost before.
func notTried(r *mes.UAWritten) {
	r.Outcome, r.UAStatus = mes.UARefused, status(ua.StatusBadServerNotConnected)
	r.Detail = "it was not tried: the connection was lost before"
}

func (s *Session) writePart(ctx context.Context, plan []plannedWrite, part []int) (isBroken bool) {
	req := &ua.WriteRequest{}
	for _, i := range part {
		req.NodesToWrite = append(req.NodesToWrite, &ua.WriteValue{
			NodeID: plan[i].node, AttributeID: ua.AttributeIDValue,
			Value: &ua.DataValue{EncodingMask: ua.DataValueValue, Value: plan[i].value},
		})
	}
	res, err := s.client.Write(ctx, req)
	if err == nil && len(res.Results) != len(part) {
		err = fmt.Errorf("the server gave %d results for %d writes", len(res.Results), len(part))
	}
	for k, i := range part {
		r := &plan[i].result
		if err != nil {
			r.Outcome, r.UAStatus, r.Detail = failed(err)
			continue
		}
		r.Outcome, r.UAStatus, r.Detail = outcome(res.Results[k])
	}
	return err != nil && !isAnswer(err)
}

// outcome is what a status of one operation says.
func outcome(code ua.StatusCode) (mes.UAOutcome, mes.UAStatus, string) {
	switch {
	case code == ua.StatusBadTimeout || code == ua.StatusBadRequestTimeout:
		// A server that stands before the device, and has no answer from it.
		return mes.UAUnknown, status(code), "the server had no answer from the device: it may have been carried out; read it back"
	case isBad(code):
		return mes.UARefused, status(code), meaning(code)
	case code != ua.StatusOK:
		return mes.UADone, status(code), meaning(code)
	}
	return mes.UADone, status(code), ""
}

// failed is what the failure of a whole call says of its operations.
func failed(err error) (mes.UAOutcome, mes.UAStatus, string) {
	var code ua.StatusCode
	if isAnswer(err) && errors.As(err, &code) && !mayFollow(code) {
		return mes.UARefused, status(code), "the server refused the call: " + meaning(code)
	}
	if !errors.As(err, &code) {
		code = ua.StatusBadConnectionClosed
		if errors.Is(err, context.DeadlineExceeded) {
			code = ua.StatusBadTimeout
		}
	}
	if isAnswer(err) {
		return mes.UAUnknown, status(code), "the server failed: it may have been carried out; read it back (" + meaning(code) + ")"
	}
	return mes.UAUnknown, status(code), "no answer came: it may have been carried out; read it back"
}

// mayFollow tells of a fault that a server may also find after it has done what was asked.
func mayFollow(code ua.StatusCode) bool {
	switch code {
	case ua.StatusBadInternalError, ua.StatusBadUnexpectedError, ua.StatusBadOutOfMemory, ua.StatusBadEncodingError,
		ua.StatusBadResponseTooLarge, ua.StatusBadEncodingLimitsExceeded:
		return true
	}
	return false
}

// isAnswer tells an answer of the server, by which a call was not carried out, from a call
// that no answer came for.
func isAnswer(err error) bool {
	var code ua.StatusCode
	return errors.As(err, &code) && !broken(err)
}

// Write converts values to the types that the server tells, and writes them. There is a
// result for each. The error is of CodeInvalid if a value does not fit, and then nothing
// was written.
func (s *Session) Write(ctx context.Context, items []mes.UAWrite, values []Value) ([]mes.UAWritten, error) {
	plan, faults, err := s.planWrites(ctx, items, values)
	if err != nil {
		return nil, err
	}
	for i, item := range items {
		if faults[i] != nil {
			return nil, mes.Errorf(mes.CodeInvalid, "nothing was written: %s: %s", item.Node, faults[i].Error())
		}
	}
	s.carryOut(ctx, plan)
	return written(plan), nil
}

func written(plan []plannedWrite) []mes.UAWritten {
	results := make([]mes.UAWritten, len(plan))
	for i := range plan {
		results[i] = plan[i].result
	}
	return results
}

// invalidItems names the items of a request whose member is at fault.
func invalidItems(faults map[int]error, member string) error {
	var fields []mes.FieldError
	for i := range maxItems {
		if err := faults[i]; err != nil {
			fields = append(fields, mes.FieldError{Pointer: fmt.Sprintf("/items/%d/%s", i, member), Detail: err.Error()})
		}
	}
	return mes.Invalid(fields)
}

// maxItems bounds the items of one request.
const maxItems = 1000

// jsonValues are the values of items as JSON.
func jsonValues(items []mes.UAWrite) []Value {
	values := make([]Value, len(items))
	for i := range items {
		values[i] = fromJSON(items[i].Value)
	}
	return values
}

func fromJSON(text []byte) Value {
	return func(t Type) (*ua.Variant, error) { return t.FromJSON(text) }
}
