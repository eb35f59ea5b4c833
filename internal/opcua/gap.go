package opcua

import (
	"encoding/json"
	"slices"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// reason is why values may be lost.
type reason string

// The reasons of a gap record.
const (
	// reasonNoHistory: the server keeps no history of the nodes.
	reasonNoHistory reason = "no_history"
	// reasonHistoryOff: it is not read, by configuration.
	reasonHistoryOff reason = "history_off"
	// reasonRefused: the server does not give it.
	reasonRefused reason = "history_refused"
	// reasonFailed: reading it failed again and again.
	reasonFailed reason = "history_failed"
	// reasonBeginsLater: the server's history does not reach back to the beginning.
	reasonBeginsLater reason = "history_begins_later"
	// reasonEndsEarlier: the server's history does not go on to the end.
	reasonEndsEarlier reason = "history_ends_earlier"
	// reasonTooOld: the beginning is longer ago than history is read back.
	reasonTooOld reason = "too_old"
	// reasonNoSourceTime: values without a source time can't be told apart.
	reasonNoSourceTime reason = "no_source_time"
	// reasonOverflow: the server's queue lost values or events, and there is no history.
	reasonOverflow reason = "overflow"
	// reasonNoEvents: the server keeps no events for a client that is gone.
	reasonNoEvents reason = "events_not_kept"
)

// maxSignalsNamed bounds the signals that a gap record names.
const maxSignalsNamed = 200

// loss is a part of a gap that is not to be had. from and to are by plantgate's clock.
type loss struct {
	done
	reason   reason
	from, to time.Time
}

// lost makes a loss of a whole gap.
func lost(i interval, why reason) loss {
	if i.overflow {
		why = reasonOverflow
	}
	from := i.gap.Since
	if from.IsZero() {
		from = i.gap.From
	}
	return loss{done: done{interval: i, to: i.gap.To}, reason: why, from: from, to: i.until}
}

// gapEntries makes one record of the losses of each machine and reason: an interruption
// does not make a record for each node.
func gapEntries(losses []loss, now time.Time) []entry {
	type key struct {
		site, machine string
		reason        reason
	}
	groups := map[key][]loss{}
	var keys []key
	for _, l := range losses {
		k := key{l.node.siteID, l.node.machineID, l.reason}
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], l)
	}
	entries := make([]entry, 0, len(keys))
	for _, k := range keys {
		entries = append(entries, gapEntry(groups[k], now))
	}
	return entries
}

func gapEntry(losses []loss, now time.Time) entry {
	first := losses[0]
	e := entry{kind: entryGap}
	from, to := first.from, first.to
	var names []string
	for _, l := range losses {
		from, to = earliest(from, l.from), latest(to, l.to)
		names = append(names, l.node.signal)
		e.closes = append(e.closes, l.done)
	}
	if to.IsZero() || to.After(now) {
		to = now
	}
	from = earliest(from, to)
	slices.Sort(names)
	e.record = gapRecord(first.node, first.reason, mes.Micros(from), mes.Micros(to), names)
	e.record.ReceivedAt = now
	return e
}

// gapRecord is an Event of the machine at the end of the gap. It is pure, so that the same
// gap is the same record.
func gapRecord(of *binding, why reason, from, to time.Time, names []string) mes.Record {
	list, _ := json.Marshal(names[:min(maxSignalsNamed, len(names))]) // texts
	return mes.Record{
		SiteID: of.siteID, MachineID: of.machineID, DataType: mes.Event, Time: to, TimeOrigin: mes.TimeSource,
		Origin: mes.Origin{Door: mes.DoorOPCUA, Connection: of.connection, Format: string(ingest.FormatDataValue)},
		Signals: []mes.Signal{
			{Name: mes.SignalGapConnection, Value: mes.String(of.connection)},
			{Name: mes.SignalGapCount, Value: mes.Int(int64(len(names)))},
			{Name: mes.SignalGapFrom, Value: mes.String(from.Format(time.RFC3339Nano))},
			{Name: mes.SignalGapReason, Value: mes.String(string(why))},
			{Name: mes.SignalGapSignals, Value: mes.Array(string(list))},
			{Name: mes.SignalGapTo, Value: mes.String(to.Format(time.RFC3339Nano))},
		},
	}
}
