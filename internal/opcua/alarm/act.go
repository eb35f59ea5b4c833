package alarm

import (
	"context"
	"errors"
	"fmt"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/link"
)

// Caller calls methods of a server.
type Caller interface {
	Call(ctx context.Context, req *ua.CallMethodRequest) (*ua.CallMethodResult, error)
}

// Refresh asks the server to tell every condition of the subscription that is of interest
// (ConditionRefresh, OPC 10000-9, 5.5.7). The code is the server's answer, isFault that it
// refused the service as a whole, at which the library ends the session; the error is one of
// the session.
func Refresh(ctx context.Context, c Caller, subscription uint32) (code ua.StatusCode, isFault bool, err error) {
	return call(ctx, c, &ua.CallMethodRequest{
		ObjectID:       ua.NewNumericNodeID(0, id.ConditionType),
		MethodID:       ua.NewNumericNodeID(0, id.ConditionType_ConditionRefresh),
		InputArguments: []*ua.Variant{ua.MustVariant(subscription)},
	})
}

// methods are those of the types; servers know them as those of the condition.
var methods = map[mes.AlarmAction]uint32{
	mes.AlarmAcknowledge: id.AcknowledgeableConditionType_Acknowledge,
	mes.AlarmConfirm:     id.AcknowledgeableConditionType_Confirm,
	mes.AlarmComment:     id.ConditionType_AddComment,
}

// Act acknowledges or confirms the state of a condition that an event told, or comments on
// it. A refusal is a mes.Error that says what to do; any other error means that no answer
// came, and that it may have been done.
func Act(ctx context.Context, c Caller, action mes.AlarmAction, condition *ua.NodeID, eventID []byte, comment string) error {
	text := &ua.LocalizedText{} // null leaves the comment that is there
	if comment != "" {
		text = ua.NewLocalizedText(comment)
	}
	code, _, err := call(ctx, c, &ua.CallMethodRequest{
		ObjectID:       condition,
		MethodID:       ua.NewNumericNodeID(0, methods[action]),
		InputArguments: []*ua.Variant{ua.MustVariant(eventID), ua.MustVariant(text)},
	})
	if err != nil {
		return err
	}
	return refusal(action, code)
}

// call tells an answer of the service as a whole, which is of this one call too, from
// failures of the session.
func call(ctx context.Context, c Caller, req *ua.CallMethodRequest) (code ua.StatusCode, isFault bool, err error) {
	res, err := c.Call(ctx, req)
	switch {
	case err != nil && errors.As(err, &code) && !IsSilence(code):
		return code, true, nil
	case err != nil:
		return 0, false, err
	case res == nil:
		return 0, false, errors.New("the server gave no result of the call")
	}
	return res.StatusCode, false, nil
}

// IsSilence tells whether a code stands for an answer that did not come.
func IsSilence(code ua.StatusCode) bool {
	switch code {
	case ua.StatusBadTimeout, ua.StatusBadRequestTimeout, ua.StatusBadConnectionClosed, ua.StatusBadServerNotConnected,
		ua.StatusBadSecureChannelClosed, ua.StatusBadSecureChannelIDInvalid, ua.StatusBadSessionIDInvalid, ua.StatusBadSessionClosed,
		ua.StatusBadSessionNotActivated, ua.StatusBadCommunicationError, ua.StatusBadShutdown, ua.StatusBadServerHalted:
		return true
	}
	return false
}

// refusal is nil if the server has done it.
func refusal(action mes.AlarmAction, code ua.StatusCode) error {
	if code>>30 == 0 {
		return nil
	}
	answer := fmt.Sprintf("the server answers %s", link.StatusText(code))
	fault := func(c mes.Code, text string) error { return mes.Errorf(c, "%s (%s)", text, answer) }
	switch code {
	case ua.StatusBadConditionBranchAlreadyAcked:
		return fault(mes.CodeConflict, "the alarm is acknowledged already")
	case ua.StatusBadConditionBranchAlreadyConfirmed:
		return fault(mes.CodeConflict, "the alarm is confirmed already")
	case ua.StatusBadEventIDUnknown:
		return fault(mes.CodeConflict, "the alarm has another state than that of event_id: list the alarms, look at it, and send its present event_id")
	case ua.StatusBadConditionDisabled:
		return fault(mes.CodeConflict, "the condition is disabled")
	case ua.StatusBadNodeIDUnknown, ua.StatusBadNodeIDInvalid:
		return fault(mes.CodeNotFound, "the server has no such condition any more, or none that methods can be called of")
	case ua.StatusBadUserAccessDenied, ua.StatusBadNotExecutable:
		return fault(mes.CodeForbidden, "the server does not allow this to the user of the connection: check its rights there, or the username of the configuration")
	case ua.StatusBadMethodInvalid, ua.StatusBadNotImplemented, ua.StatusBadNotSupported, ua.StatusBadServiceUnsupported:
		return fault(mes.CodeConflict, fmt.Sprintf("this condition has no method to %s it", action))
	case ua.StatusBadArgumentsMissing, ua.StatusBadInvalidArgument, ua.StatusBadTypeMismatch:
		return fault(mes.CodeConflict, "the server does not take the event id or the comment")
	}
	return fault(mes.CodeConflict, "the server has not done it")
}
