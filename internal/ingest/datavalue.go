package ingest

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"plantgate/internal/mes"
)

// FormatDataValue is the form in which quarantine keeps a record that has no message of
// its own: an OPC UA value, which comes as no text, or one of several records that were
// made of one message. The record is kept, exactly enough to replay it.
const FormatDataValue Format = "datavalue"

// dataValue is a record that came without a text. What the door knew (site,
// machine, data type) stands beside it, so that a replay can correct it.
type dataValue struct {
	NodeID          string            `json:"node_id"`
	Timestamp       string            `json:"timestamp,omitempty"`
	TimestampOrigin mes.TimeOrigin    `json:"timestamp_origin"`
	ServerTimestamp string            `json:"server_timestamp,omitempty"`
	StatusCode      mes.StatusCode    `json:"status_code"`
	Status          mes.Status        `json:"status,omitempty"`
	MessageID       string            `json:"message_id,omitempty"`
	Sequence        *int64            `json:"sequence,omitempty"`
	Flags           []mes.Flag        `json:"flags,omitempty"`
	Signals         []dataValueSignal `json:"signals"`
}

type dataValueSignal struct {
	Name  string    `json:"name"`
	Value mes.Value `json:"value"`
	Unit  string    `json:"unit,omitempty"`
}

// encodeDataValue returns the text of a record that came without one.
func encodeDataValue(r *mes.Record) []byte {
	v := dataValue{
		NodeID: r.Origin.Address, TimestampOrigin: r.TimeOrigin, ServerTimestamp: timeText(r.ServerTime),
		StatusCode: r.StatusCode, Status: r.Status, MessageID: r.MessageID, Sequence: r.Sequence,
	}
	if r.TimeOrigin != mes.TimeReceipt {
		v.Timestamp = timeText(r.Time)
	}
	for _, flag := range keptFlags {
		if r.HasFlag(flag) {
			v.Flags = append(v.Flags, flag)
		}
	}
	for _, s := range r.Signals {
		v.Signals = append(v.Signals, dataValueSignal(s))
	}
	text, _ := json.Marshal(v) // texts, numbers and canonical JSON
	return text
}

// keptFlags say something of a value that nothing else tells.
var keptFlags = []mes.Flag{mes.FlagOverflow, mes.FlagRetained, mes.FlagSemanticsChanged, mes.FlagStructureChanged}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// dataValue reads what encodeDataValue wrote.
func (b *builder) dataValue(n node) {
	signals, _ := n.member("signals")
	if signals.kind != '[' {
		b.fault("", "the value has no form as a signal; replay it with a payload that has")
		return
	}
	b.reserved(n, utcTime)
	if m, ok := n.member("timestamp_origin"); ok && m.text == string(mes.TimeServer) && !b.rec.Time.IsZero() {
		b.rec.TimeOrigin = mes.TimeServer
	}
	if m, ok := n.member("server_timestamp"); ok {
		t, err := parseTimestamp(m, time.UTC, b.src.ReceivedAt)
		if err != nil {
			b.fault("/server_timestamp", "%s", err.Error())
		}
		b.rec.ServerTime = t.time
	}
	if m, ok := n.member("status_code"); ok {
		code, err := strconv.ParseUint(m.text, 10, 32)
		if err != nil {
			b.fault("/status_code", "must be a whole number of 32 bits")
		}
		b.rec.StatusCode = mes.StatusCode(code)
	}
	if m, ok := n.member("flags"); ok {
		for _, flag := range m.items {
			if slices.Contains(keptFlags, mes.Flag(flag.text)) {
				b.rec.Flags = append(b.rec.Flags, mes.Flag(flag.text))
			}
		}
	}
	for i, s := range signals.items {
		b.dataValueSignal(&place{&place{name: "signals"}, strconv.Itoa(i)}, s)
	}
}

func (b *builder) dataValueSignal(at *place, n node) {
	var name, unit string
	if m, ok := n.member("name"); ok {
		b.text((&place{at, "name"}).pointer(), m, &name)
	}
	if m, ok := n.member("unit"); ok {
		b.text((&place{at, "unit"}).pointer(), m, &unit)
	}
	value, ok := n.member("value")
	if name == "" || !ok {
		b.fault(at.pointer(), "must be an object with name and value")
		return
	}
	b.signals(name, at, "value", value, unit)
}
