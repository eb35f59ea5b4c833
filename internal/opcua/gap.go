package opcua

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"plantgate/internal/mes"
)

// Signals of a gap record, which says that values of a machine may have been lost. It is
// an Event at the begin of that time.
const (
	gapConnection = "gap.connection"
	gapFrom       = "gap.from"
	gapReason     = "gap.reason"
	gapSignals    = "gap.signals"
	gapTo         = "gap.to"
)

// gapNames bounds the signals that one gap record names; more make further records.
const gapNames = 500

// losses are the times of which values may have been lost, by machine and reason.
type losses struct {
	order []lossKey
	of    map[lossKey]*loss
}

type lossKey struct{ siteID, machineID, reason string }

type loss struct {
	from, to time.Time
	signals  []string
}

func (l *losses) add(m missed, from, to time.Time, reason string) {
	if m.overflow {
		reason = "the server's queue of the node overflowed; " + reason
	}
	l.note(lossKey{m.siteID, m.machineID, reason}, m.signal, from, to)
}

// note adds the loss of a signal to those of its machine and reason.
func (l *losses) note(key lossKey, signal string, from, to time.Time) {
	if l.of == nil {
		l.of = map[lossKey]*loss{}
	}
	one := l.of[key]
	if one == nil {
		one = &loss{from: from, to: to}
		l.of[key] = one
		l.order = append(l.order, key)
	}
	if from.Before(one.from) {
		one.from = from
	}
	if to.After(one.to) {
		one.to = to
	}
	one.signals = append(one.signals, signal)
}

// records are the gap records. The same losses make the same records.
func (l *losses) records(connection string, now time.Time) []mes.Record {
	var list []mes.Record
	for _, key := range l.order {
		one := l.of[key]
		slices.Sort(one.signals)
		for names := range slices.Chunk(slices.Compact(one.signals), gapNames) {
			list = append(list, gapRecord(connection, key, one, names, now))
		}
	}
	return list
}

func gapRecord(connection string, key lossKey, l *loss, names []string, now time.Time) mes.Record {
	text, err := json.Marshal(names)
	if err != nil { // a list of texts always has JSON
		text = []byte("[]")
	}
	at := func(t time.Time) mes.Value { return mes.String(t.UTC().Format(time.RFC3339Nano)) }
	return mes.Record{
		SiteID: key.siteID, MachineID: key.machineID, DataType: mes.Event,
		Time: l.from, TimeOrigin: mes.TimeSource, ReceivedAt: mes.Micros(now),
		Signals: []mes.Signal{
			{Name: gapConnection, Value: mes.String(connection)},
			{Name: gapFrom, Value: at(l.from)},
			{Name: gapReason, Value: mes.String(strings.ToValidUTF8(key.reason, "?"))},
			{Name: gapSignals, Value: mes.Array(string(text))},
			{Name: gapTo, Value: at(l.to)},
		},
		Origin: mes.Origin{Door: mes.DoorOPCUA, Connection: connection, Address: "gap"},
	}
}
