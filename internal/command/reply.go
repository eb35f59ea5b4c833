package command

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// Bounds of a reply, in bytes.
const (
	maxReplyMessage = 4 << 10
	maxReplyData    = 256 << 10
)

// Replies returns an Ingester for a connection whose messages may be replies to commands
// among machine data: it notes the replies, and gives the rest to next. Both are durable
// when it returns without an error. A reply that can't be read or is to no command goes
// to quarantine.
func (s *Service) Replies(next ingest.Ingester) ingest.Ingester { return replies{s, next} }

type replies struct {
	service *Service
	next    ingest.Ingester
}

// Ingest implements ingest.Ingester.
func (r replies) Ingest(ctx context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	if !slices.ContainsFunc(batch, ingest.IsReply) {
		return r.next.Ingest(ctx, batch)
	}
	taken, err := r.take(ctx, batch)
	if err != nil {
		return nil, err
	}
	receipts := make([]mes.Receipt, len(batch))
	var rest []mes.Record
	var places []int
	for i := range batch {
		if receipt, ok := taken[i]; ok {
			receipts[i] = receipt
			continue
		}
		rest, places = append(rest, batch[i]), append(places, i)
	}
	if len(rest) == 0 {
		return receipts, nil
	}
	// If this fails all of the batch comes again: a reply that does changes nothing.
	stored, err := r.next.Ingest(ctx, rest)
	if err != nil {
		return nil, err
	}
	for i, receipt := range stored {
		receipts[places[i]] = receipt
	}
	return receipts, nil
}

// take notes the replies of a batch and returns receipts of those by their places. The
// others have their fault.
func (r replies) take(ctx context.Context, batch []mes.Record) (map[int]mes.Receipt, error) {
	var list []mes.CommandReply
	var places []int
	for i := range batch {
		if !ingest.IsReply(batch[i]) {
			continue
		}
		reply, fault := ParseReply(batch[i].Payload)
		if fault != nil {
			batch[i].Fault = fault
			continue
		}
		reply.SiteID, reply.MachineID = batch[i].SiteID, batch[i].MachineID
		reply.ReceivedAt = mes.Micros(batch[i].ReceivedAt)
		list, places = append(list, reply), append(places, i)
	}
	if len(list) == 0 {
		return nil, nil
	}
	outcomes, err := r.service.store.ReplyToCommands(ctx, list)
	if err != nil {
		return nil, err
	}
	taken := map[int]mes.Receipt{}
	for k, outcome := range outcomes {
		i, id := places[k], list[k].CommandID
		switch outcome {
		case ReplyTaken:
			taken[i] = mes.Receipt{Status: mes.ReceiptCreated, ID: id}
		case ReplyLate:
			taken[i] = mes.Receipt{Status: mes.ReceiptDuplicate, ID: id}
		case ReplyForeign:
			batch[i].Fault = mes.Errorf(mes.CodeConflict, "the command %s was given to another machine than the topic names", id)
		case ReplyOtherSite:
			batch[i].Fault = mes.Errorf(mes.CodeConflict,
				"the command %s was given to this machine of another site: the topic or the subscription says the site %q", id, list[k].SiteID)
		default:
			batch[i].Fault = mes.Errorf(mes.CodeNotFound, "there is no command %s", id)
		}
	}
	return taken, nil
}

// ParseReply reads what a machine says of a command. Members that it does not know are
// the machine's own.
func ParseReply(body []byte) (mes.CommandReply, *mes.Error) {
	var members struct {
		CommandID string         `json:"command_id"`
		Status    string         `json:"status"`
		Message   string         `json:"message"`
		Data      jsontext.Value `json:"data"`
	}
	if err := json.Unmarshal(body, &members); err != nil {
		return mes.CommandReply{}, mes.Errorf(mes.CodeMalformed,
			`a reply is a JSON object such as {"command_id":"019aab1c-7d20-7c11-9e02-3f5a6b7c8d9e","status":"completed"}, with texts for command_id, status and message`)
	}
	reply := mes.CommandReply{Status: mes.CommandState(members.Status), Message: members.Message}
	var faults []mes.FieldError
	var err error
	if reply.CommandID, err = mes.ParseID(members.CommandID); err != nil {
		faults = append(faults, mes.FieldError{Pointer: "/command_id", Detail: err.Error()})
	}
	if !slices.Contains(mes.ReplyStates(), reply.Status) {
		faults = append(faults, mes.FieldError{Pointer: "/status", Detail: "must be acknowledged, rejected, completed or failed"})
	}
	if len(reply.Message) > maxReplyMessage {
		faults = append(faults, mes.FieldError{Pointer: "/message", Detail: "has more than 4 KiB"})
	}
	switch {
	case len(members.Data) > maxReplyData:
		faults = append(faults, mes.FieldError{Pointer: "/data", Detail: "has more than 256 KiB"})
	case mes.JSONDepth(members.Data) > mes.MaxCommandDepth:
		faults = append(faults, mes.FieldError{Pointer: "/data", Detail: fmt.Sprintf("is nested deeper than %d levels", mes.MaxCommandDepth)})
	case len(members.Data) > 0 && members.Data.Kind() != 'n':
		reply.Data = members.Data
	}
	if fault := mes.Invalid(faults); fault != nil {
		return mes.CommandReply{}, fault
	}
	return reply, nil
}
