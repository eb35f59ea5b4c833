package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// SampleMessage is an MQTT message that somebody wants to know about.
type SampleMessage struct {
	Topic      string
	Payload    []byte
	Retained   bool
	ReceivedAt time.Time
}

// SampleOutcome is what would become of a sample message.
type SampleOutcome struct {
	// Matched tells whether a subscription is for the topic. Without one the message would
	// go to quarantine, and the topic be unsubscribed; the own broker passes it on.
	Matched bool
	// Index is the place of the subscription, from 0; Topic and Filter are its own.
	Index                 int
	Topic, Filter, Format string
	// Captures are the captured levels of the topic by name.
	Captures map[string]string
	Records  []ingest.Previewed
	// Replies are the records that are replies to commands, by their places.
	Replies map[int]mes.CommandReply
	// Sparkplug tells that the message goes to the connection's host application of
	// Sparkplug B, by no subscription of the list. Records are its faults.
	Sparkplug bool
}

// Fault tells why nothing, or not all, of the message would be taken; nil if all would.
func (o *SampleOutcome) Fault() error {
	quarantined := 0
	for i := range o.Records {
		if _, reply := o.Replies[i]; !reply && o.Records[i].Fault != nil {
			quarantined++
		}
	}
	switch {
	case quarantined > 0:
		return fmt.Errorf("%d of %s would go to quarantine", quarantined, mes.Counted(len(o.Records), "record"))
	case !o.Matched && !o.Sparkplug:
		return errors.New("no subscription is for the topic")
	}
	return nil
}

// SampleTester tells what would become of a message by the connection of that name, or by
// the own broker, whose name is broker. It fails with CodeNotFound if there is none.
type SampleTester func(ctx context.Context, connection string, m SampleMessage) (SampleOutcome, error)

// noSamples is the SampleTester of a server without MQTT.
func noSamples(_ context.Context, connection string, _ SampleMessage) (SampleOutcome, error) {
	return SampleOutcome{}, mes.Errorf(mes.CodeNotFound, "there is no MQTT connection %q", connection)
}

// sampleRequest is an MQTT message to try.
type sampleRequest struct {
	Topic string `json:"topic,omitzero" example:"plant/pune/l2/M3/data" validate:"required"`
	// The message as text.
	Payload *string `json:"payload,omitzero" example:"{\"temperature\":72.31}"`
	// The message in base64, instead of payload, where it is no text.
	PayloadBase64 *string `json:"payload_base64,omitzero" format:"byte"`
	// Whether it comes as a retained message.
	Retained bool `json:"retained,omitzero" example:"false"`
	// When it comes; now if left out.
	ReceivedAt *time.Time `json:"received_at,omitzero" example:"2026-11-22T10:15:00Z"`
} //	@name	SampleMessage

// sampleBody says what would become of a message.
type sampleBody struct {
	// Whether a subscription is for the topic, or the host application of Sparkplug B. A message without one goes to quarantine; the own broker only passes it on.
	Matched bool `json:"matched" validate:"required"`
	// The subscription; the first that is for the topic. Left out if the message goes to the host application of Sparkplug B.
	Binding *sampleBinding `json:"binding,omitempty"`
	// What would be stored or go to quarantine.
	Records []sampleRecord `json:"records" validate:"required"`
} //	@name	Sample

// sampleBinding is the subscription that a message came by.
type sampleBinding struct {
	// Place among the subscriptions of the connection, from 0.
	Index int `json:"index" example:"0" validate:"required"`
	// The topic as it is configured.
	Topic string `json:"topic" example:"plant/{site}/{line}/{machine}/data" validate:"required"`
	// What is subscribed to.
	Filter string `json:"filter" example:"plant/+/+/+/data" validate:"required"`
	Format string `json:"format" example:"auto" validate:"required"`
	// Captured levels of the topic by name.
	Captures map[string]string `json:"captures" validate:"required"`
} //	@name	SampleBinding

// sampleRecord is one record of a message.
type sampleRecord struct {
	// reply moves a command on, if there is one of that id; sparkplug goes to the host application of Sparkplug B, which needs the births that came before to read it.
	Outcome string `json:"outcome" enums:"stored,quarantined,reply,sparkplug" example:"stored" validate:"required"`
	// What a reply says of which command.
	Reply *sampleReply `json:"reply,omitempty"`
	// What the outcome means.
	Note string `json:"note,omitempty"`
	// Why it would go to quarantine.
	Reason *reasonBody `json:"reason,omitempty"`
	// The id of the record; left out where the time of receipt counts, which makes another each time.
	ID string `json:"id,omitempty" format:"uuid"`
	// Site and machine, as far as they are known.
	SiteID    string `json:"site_id,omitempty" example:"pune"`
	MachineID string `json:"machine_id,omitempty" example:"M3"`
	// Whether the record would register the machine.
	RegistersMachine bool   `json:"registers_machine,omitempty"`
	DataType         string `json:"data_type,omitempty" enums:"Telemetry,Production,Quality,Event,State" example:"Telemetry"`
	// The time at which it is kept, and whose that is.
	Timestamp       *time.Time `json:"timestamp,omitempty" example:"2026-11-22T10:15:00Z"`
	TimestampOrigin string     `json:"timestamp_origin,omitempty" enums:"source,server,receipt" example:"source"`
	Status          string     `json:"status,omitempty" enums:"Running,Idle,Stopped,Maintenance" example:"Running"`
	// OPC UA StatusCode, and what it means.
	StatusCode uint32         `json:"status_code,omitempty" example:"0"`
	Quality    string         `json:"quality,omitempty" enums:"good,uncertain,bad" example:"good"`
	MessageID  string         `json:"message_id,omitempty"`
	Sequence   *int64         `json:"sequence,omitempty"`
	Flags      []string       `json:"flags,omitempty" example:"retained"`
	Signals    []sampleSignal `json:"signals,omitempty"`
} //	@name	SampleRecord

// sampleReply is what a machine says of a command.
type sampleReply struct {
	CommandID string `json:"command_id" format:"uuid" validate:"required"`
	Status    string `json:"status" enums:"acknowledged,rejected,completed,failed" example:"completed" validate:"required"`
	Message   string `json:"message,omitempty" example:"500 made"`
} //	@name	SampleReply

// sampleSignal is one value of a record.
type sampleSignal struct {
	Name  string    `json:"name" example:"temperature" validate:"required"`
	Value mes.Value `json:"value" swaggertype:"number" example:"72.31" validate:"required"`
	Unit  string    `json:"unit,omitempty" example:"Cel"`
} //	@name	SampleSignal

// testMessage tells what would become of an MQTT message.
//
//	@Summary		Try an MQTT message
//	@Description	Tells what would be stored of a message of that topic, and why: which subscription it is for, the captured levels, each record or its faults, and of a reply to a command what it says. Nothing is stored. The checks are those of a message that comes; only whether a record is there already, or the command of a reply, is not looked up. The own broker has the name broker.
//	@Tags			operation
//	@ID				testMQTTMessage
//	@Security		ApiKey
//	@Accept			json
//	@Produce		json
//	@Param			name	path		string			true	"name of the connection, or broker"
//	@Param			body	body		sampleRequest	true	"the message"
//	@Success		200		{object}	sampleBody
//	@Failure		400,401,403,404,413,415,422,429,503	{object}	problemDocument
//	@Router			/api/v1/adapters/mqtt/{name}/test [post]
func (a *API) testMessage(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	var request sampleRequest
	if err := a.decode(c, &request); err != nil {
		return err
	}
	message, err := request.message(a.deps.Clock())
	if err != nil {
		return err
	}
	outcome, err := a.deps.Samples(c.Request().Context(), pathParam(c, "name"), message)
	if err != nil {
		return err
	}
	for i := range outcome.Records {
		r := &outcome.Records[i]
		if r.MachineID != "" && !keyOf(c).Limit.Allows(r.SiteID, r.MachineID) {
			return mes.Errorf(mes.CodeForbidden, "the key may not see machine %q of site %q", r.MachineID, r.SiteID)
		}
	}
	return c.JSON(http.StatusOK, NewSampleBody(outcome))
}

func (r sampleRequest) message(now time.Time) (SampleMessage, error) {
	m := SampleMessage{Topic: r.Topic, Retained: r.Retained, ReceivedAt: now}
	var faults []mes.FieldError
	if r.Topic == "" {
		faults = append(faults, mes.FieldError{Pointer: "/topic", Detail: "is required"})
	}
	switch {
	case r.Payload != nil && r.PayloadBase64 != nil:
		faults = append(faults, mes.FieldError{Pointer: "/payload_base64", Detail: "payload is given too: one of them"})
	case r.Payload != nil:
		m.Payload = []byte(*r.Payload)
	case r.PayloadBase64 != nil:
		var err error
		if m.Payload, err = base64.StdEncoding.DecodeString(*r.PayloadBase64); err != nil {
			faults = append(faults, mes.FieldError{Pointer: "/payload_base64", Detail: "is not base64"})
		}
	default:
		faults = append(faults, mes.FieldError{Pointer: "/payload", Detail: "is required, or payload_base64"})
	}
	if r.ReceivedAt != nil {
		m.ReceivedAt = mes.Micros(*r.ReceivedAt)
	}
	if fault := mes.Invalid(faults); fault != nil {
		return m, fault
	}
	return m, nil
}

// NewSampleBody is an outcome as it is answered.
func NewSampleBody(o SampleOutcome) any {
	b := sampleBody{Matched: o.Matched || o.Sparkplug, Records: make([]sampleRecord, 0, len(o.Records))}
	if o.Matched {
		b.Binding = &sampleBinding{Index: o.Index, Topic: o.Topic, Filter: o.Filter, Format: o.Format, Captures: o.Captures}
	}
	for i := range o.Records {
		if reply, ok := o.Replies[i]; ok {
			b.Records = append(b.Records, newReplyRecord(&o.Records[i], &reply))
			continue
		}
		b.Records = append(b.Records, newSampleRecord(&o.Records[i]))
	}
	if o.Sparkplug && len(o.Records) == 0 {
		b.Records = append(b.Records, sampleRecord{
			Outcome: "sparkplug", Note: "goes to the host application of Sparkplug B; births are needed to read it",
		})
	}
	return b
}

func newReplyRecord(r *ingest.Previewed, reply *mes.CommandReply) sampleRecord {
	return sampleRecord{
		Outcome: "reply", Note: "moves the command on, if there is one of this id that the machine was given",
		SiteID: r.SiteID, MachineID: r.MachineID,
		Reply: &sampleReply{CommandID: reply.CommandID.String(), Status: string(reply.Status), Message: reply.Message},
	}
}

func newSampleRecord(r *ingest.Previewed) sampleRecord {
	b := sampleRecord{Outcome: "stored", SiteID: r.SiteID, MachineID: r.MachineID, DataType: string(r.DataType)}
	if r.Fault != nil {
		b.Outcome = "quarantined"
		b.Reason = &reasonBody{Code: string(r.Fault.Code), Detail: r.Fault.Message}
		for _, f := range r.Fault.Fields {
			b.Reason.Errors = append(b.Reason.Errors, problemField(f))
		}
		return b
	}
	if r.HasID {
		b.ID = r.ID.String()
	}
	b.RegistersMachine = r.Registers
	b.Timestamp, b.TimestampOrigin = optionalTime(r.Time), string(r.TimeOrigin)
	b.Status, b.StatusCode, b.Quality = string(r.Status), uint32(r.StatusCode), r.StatusCode.Severity()
	b.MessageID, b.Sequence = r.MessageID, r.Sequence
	for _, f := range r.Flags {
		b.Flags = append(b.Flags, string(f))
	}
	for _, s := range r.Signals {
		b.Signals = append(b.Signals, sampleSignal{Name: s.Name, Value: s.Value, Unit: s.Unit})
	}
	return b
}
