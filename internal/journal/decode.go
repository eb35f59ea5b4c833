package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"plantgate/internal/mes"
)

var errFrame = errors.New("a frame of the log can't be read")

// appendFrame adds what a frame says to the group. The frame may be reused
// afterwards.
func (g *Group) appendFrame(frame []byte) error {
	// Texts and payloads are parts of one copy, which nobody ever writes to again.
	data := bytes.Clone(frame)
	d := decoder{data: data, text: unsafe.String(unsafe.SliceData(data), len(data))}
	if version := d.byte(); version != formatVersion && d.err == nil {
		return fmt.Errorf("%w: its format %d is not %d; it is of another version of this program", errFrame, version, formatVersion)
	}
	first := int64(d.uvarint())
	if len(g.Records) == 0 {
		g.FirstArrival = first
	} else if next := g.FirstArrival + int64(len(g.Records)); first != next && d.err == nil {
		return fmt.Errorf("%w: its first record is number %d, not %d", errFrame, first, next)
	}
	for d.err == nil && d.at < len(d.data) {
		switch kind := d.byte(); kind {
		case entryRecord:
			g.Records = append(g.Records, mes.Record{})
			d.record(&g.Records[len(g.Records)-1])
		case entryDelivery:
			g.Deliveries = append(g.Deliveries, d.delivery())
		case entryConnectionDelivery:
			g.ConnectionDeliveries = append(g.ConnectionDeliveries, d.connectionDelivery())
		case entryItem:
			g.Items = append(g.Items, d.item())
		case entryResolved:
			g.Resolved = append(g.Resolved, d.item())
		default:
			d.fail()
		}
	}
	return d.err
}

// The least that a member takes, in bytes, which bounds how many an entry may
// claim to have.
const (
	minSignal = 4
	minFlag   = 1
	minField  = 2
)

// decoder reads a frame. After the first error every read gives zero values.
type decoder struct {
	data []byte
	// text is the same memory as data.
	text string
	at   int
	err  error
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = fmt.Errorf("%w: it is damaged at byte %d", errFrame, d.at)
	}
	d.at = len(d.data)
}

func (d *decoder) byte() byte {
	if d.at >= len(d.data) {
		d.fail()
		return 0
	}
	d.at++
	return d.data[d.at-1]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data[d.at:])
	if n <= 0 {
		d.fail()
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.data[d.at:])
	if n <= 0 {
		d.fail()
		return 0
	}
	d.at += n
	return v
}

// count reads how many members follow, each of at least so many bytes.
func (d *decoder) count(least int) int {
	n := d.uvarint()
	if n > uint64((len(d.data)-d.at)/least) {
		d.fail()
		return 0
	}
	return int(n)
}

// span reads a length and returns where that many bytes begin and end.
func (d *decoder) span() (from, to int) {
	n := d.uvarint()
	if n > uint64(len(d.data)-d.at) {
		d.fail()
		return d.at, d.at
	}
	from = d.at
	d.at += int(n)
	return from, d.at
}

func (d *decoder) string() string {
	from, to := d.span()
	return d.text[from:to]
}

func (d *decoder) bytes() []byte {
	from, to := d.span()
	return d.data[from:to:to]
}

func (d *decoder) fixed(dst []byte) {
	if len(d.data)-d.at < len(dst) {
		d.fail()
		return
	}
	d.at += copy(dst, d.data[d.at:])
}

// time reads a time; 0 is none.
func (d *decoder) time() time.Time {
	if us := d.varint(); us != 0 {
		return time.UnixMicro(us).UTC()
	}
	return time.Time{}
}

func (d *decoder) record(r *mes.Record) {
	bits := d.byte()
	if bits >= hasOwner<<1 {
		d.fail()
	}
	d.fixed(r.ID[:])
	r.SiteID, r.MachineID = d.string(), d.string()
	r.DataType = mes.DataType(d.string())
	r.Time = time.UnixMicro(d.varint()).UTC()
	r.TimeOrigin = mes.TimeOrigin(d.string())
	r.ReceivedAt = time.UnixMicro(d.varint()).UTC()
	if bits&hasSequence != 0 {
		sequence := d.varint()
		r.Sequence = &sequence
	}
	if bits&hasServerTime != 0 {
		r.ServerTime = time.UnixMicro(d.varint()).UTC()
	}
	r.Status = mes.Status(d.string())
	r.StatusCode = mes.StatusCode(d.uvarint())
	r.MessageID = d.string()
	if n := d.count(minFlag); n > 0 {
		r.Flags = make([]mes.Flag, n)
		for i := range r.Flags {
			r.Flags[i] = mes.Flag(d.string())
		}
	}
	r.Origin = d.origin()
	if n := d.count(minSignal); n > 0 {
		r.Signals = make([]mes.Signal, n)
		for i := range r.Signals {
			s := &r.Signals[i]
			s.Name = d.string()
			kind := mes.Kind(d.byte())
			s.Value = mes.Restore(kind, d.string())
			s.Unit = d.string()
		}
	}
	r.Snapshot = bits&isSnapshot != 0
	if bits&hasPayload != 0 {
		r.Payload = d.bytes()
	}
	if bits&hasOwner != 0 {
		r.Owner = &mes.Ownership{Lease: d.string(), Server: d.string(), Epoch: d.varint()}
	}
}

func (d *decoder) origin() mes.Origin {
	return mes.Origin{Door: mes.Door(d.string()), Connection: d.string(), Address: d.string(), Format: d.string()}
}

func (d *decoder) delivery() Delivery {
	e := Delivery{DeliveryName: DeliveryName{
		Kind: DeliveryKind(d.string()), SiteID: d.string(), MachineID: d.string(), Key: d.string(),
	}}
	d.fixed(e.Hash[:])
	d.fixed(e.RecordID[:])
	e.Status = mes.ReceiptStatus(d.string())
	e.ArrivedAt = d.time()
	return e
}

func (d *decoder) connectionDelivery() mes.Delivery {
	m := mes.Delivery{Connection: d.string(), Name: d.string(), Number: d.varint()}
	d.fixed(m.Content[:])
	return m
}

func (d *decoder) item() mes.QuarantineItem {
	var i mes.QuarantineItem
	d.fixed(i.ID[:])
	d.fixed(i.RecordID[:])
	i.State = mes.QuarantineState(d.string())
	i.ReceivedAt, i.ResolvedAt = d.time(), d.time()
	i.ResolvedBy = d.string()
	i.Origin = d.origin()
	i.Origin.TimeZone = d.string()
	i.SiteID, i.MachineID = d.string(), d.string()
	i.DataType = mes.DataType(d.string())
	i.Reason = mes.Error{Code: mes.Code(d.string()), Message: d.string()}
	for range d.count(minField) {
		i.Reason.Fields = append(i.Reason.Fields, mes.FieldError{Pointer: d.string(), Detail: d.string()})
	}
	i.Raw = d.bytes()
	return i
}
