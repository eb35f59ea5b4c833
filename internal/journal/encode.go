package journal

import (
	"encoding/binary"
	"time"

	"plantgate/internal/mes"
)

// formatVersion is the first byte of every frame.
const formatVersion = 1

// The bits of a record's second byte: which of its members follow.
const (
	hasSequence = 1 << iota
	hasServerTime
	isSnapshot
	hasPayload
	hasOwner
)

// The kinds of entries of a frame, each the byte before it.
const (
	entryRecord = 1 + iota
	entryDelivery
	entryItem               // for quarantine
	entryResolved           // a quarantined item that was replayed or discarded
	entryConnectionDelivery // what came by a connection
)

// appendHeader begins a frame:
//
//	version, number of the first record, entries
//
// An entry is its kind and what it says. Counts, lengths and whole numbers are
// varints, times microseconds since 1970 (0 is none), texts their length and bytes.
func appendHeader(b []byte, firstArrival int64) []byte {
	return binary.AppendUvarint(append(b, formatVersion), uint64(firstArrival))
}

func appendRecord(b []byte, r *mes.Record) []byte {
	var bits byte
	if r.Sequence != nil {
		bits |= hasSequence
	}
	if !r.ServerTime.IsZero() {
		bits |= hasServerTime
	}
	if r.Snapshot {
		bits |= isSnapshot
	}
	if r.Payload != nil {
		bits |= hasPayload
	}
	if r.Owner != nil {
		bits |= hasOwner
	}
	b = append(b, entryRecord, bits)
	b = append(b, r.ID[:]...)
	b = appendText(b, r.SiteID)
	b = appendText(b, r.MachineID)
	b = appendText(b, string(r.DataType))
	b = binary.AppendVarint(b, r.Time.UnixMicro())
	b = appendText(b, string(r.TimeOrigin))
	b = binary.AppendVarint(b, r.ReceivedAt.UnixMicro())
	if r.Sequence != nil {
		b = binary.AppendVarint(b, *r.Sequence)
	}
	if !r.ServerTime.IsZero() {
		b = binary.AppendVarint(b, r.ServerTime.UnixMicro())
	}
	b = appendText(b, string(r.Status))
	b = binary.AppendUvarint(b, uint64(r.StatusCode))
	b = appendText(b, r.MessageID)
	b = binary.AppendUvarint(b, uint64(len(r.Flags)))
	for _, f := range r.Flags {
		b = appendText(b, string(f))
	}
	b = appendOrigin(b, r.Origin)
	b = binary.AppendUvarint(b, uint64(len(r.Signals)))
	for i := range r.Signals {
		s := &r.Signals[i]
		b = appendText(b, s.Name)
		b = append(b, byte(s.Value.Kind()))
		b = appendText(b, s.Value.Text())
		b = appendText(b, s.Unit)
	}
	if r.Payload != nil {
		b = appendBytes(b, r.Payload)
	}
	if r.Owner != nil {
		b = appendText(b, r.Owner.Lease)
		b = appendText(b, r.Owner.Server)
		b = binary.AppendVarint(b, r.Owner.Epoch)
	}
	return b
}

func appendOrigin(b []byte, o mes.Origin) []byte {
	b = appendText(b, string(o.Door))
	b = appendText(b, o.Connection)
	b = appendText(b, o.Address)
	return appendText(b, o.Format)
}

func appendDelivery(b []byte, d *Delivery) []byte {
	b = append(b, entryDelivery)
	b = appendText(b, string(d.Kind))
	b = appendText(b, d.SiteID)
	b = appendText(b, d.MachineID)
	b = appendText(b, d.Key)
	b = append(b, d.Hash[:]...)
	b = append(b, d.RecordID[:]...)
	b = appendText(b, string(d.Status))
	return appendTime(b, d.ArrivedAt)
}

func appendConnectionDelivery(b []byte, d *mes.Delivery) []byte {
	b = append(b, entryConnectionDelivery)
	b = appendText(b, d.Connection)
	b = appendText(b, d.Name)
	b = binary.AppendVarint(b, d.Number)
	return append(b, d.Content[:]...)
}

// appendItem appends an item of kind entryItem or entryResolved.
func appendItem(b []byte, kind byte, i *mes.QuarantineItem) []byte {
	b = append(b, kind)
	b = append(b, i.ID[:]...)
	b = append(b, i.RecordID[:]...)
	b = appendText(b, string(i.State))
	b = appendTime(b, i.ReceivedAt)
	b = appendTime(b, i.ResolvedAt)
	b = appendText(b, i.ResolvedBy)
	b = appendOrigin(b, i.Origin)
	b = appendText(b, i.Origin.TimeZone)
	b = appendText(b, i.SiteID)
	b = appendText(b, i.MachineID)
	b = appendText(b, string(i.DataType))
	b = appendText(b, string(i.Reason.Code))
	b = appendText(b, i.Reason.Message)
	b = binary.AppendUvarint(b, uint64(len(i.Reason.Fields)))
	for _, f := range i.Reason.Fields {
		b = appendText(b, f.Pointer)
		b = appendText(b, f.Detail)
	}
	return appendBytes(b, i.Raw)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixMicro())
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendBytes(b, data []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...)
}
