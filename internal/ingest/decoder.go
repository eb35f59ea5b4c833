package ingest

import (
	"bytes"
	"sync"

	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mes"
)

// Format names how the bytes of a message are to be read.
type Format string

// The formats. FormatAuto tells the JSON shapes apart by their members.
const (
	FormatAuto     Format = "auto"
	FormatFlat     Format = "flat"
	FormatEnvelope Format = "envelope"
	FormatSnapshot Format = "snapshot"
	FormatValue    Format = "value"
	// FormatPayload is the Payload of an envelope by itself, whose data type the door
	// knows, or a message of any other shape. It is never guessed.
	FormatPayload Format = "payload"
	// FormatNDJSON is one message of any shape a line.
	FormatNDJSON Format = "ndjson"
	// FormatSparkplug is a payload of Sparkplug B, which its own adapter reads.
	FormatSparkplug Format = "sparkplug"
)

// Limits bound what one message or batch may be.
type Limits struct {
	// MaxRecord is the size of one record in bytes.
	MaxRecord int
	// MaxBatch is the number of records in an array or NDJSON body.
	MaxBatch int
	// MaxDepth is the nesting of objects and arrays in one record.
	MaxDepth int
}

// JSONDecoder reads the payload shapes of docs/payloads.md.
type JSONDecoder struct {
	limits  Limits
	sites   *Sites
	readers sync.Pool // of *reader
}

// NewDecoder returns a decoder of every built-in format.
func NewDecoder(limits Limits, sites *Sites) *JSONDecoder {
	return &JSONDecoder{limits: limits, sites: sites, readers: sync.Pool{New: func() any { return new(reader) }}}
}

var utf8BOM = []byte{0xef, 0xbb, 0xbf}

// Decode turns the bytes of a message, or of an array or lines of messages,
// into records in their order. See Decoder.
func (d *JSONDecoder) Decode(src Source, body []byte) []mes.Record {
	if mapping.IsMapped(src.Origin.Format) {
		return d.decodeMapped(src, body)
	}
	if Format(src.Origin.Format) == FormatReply {
		return []mes.Record{reply(&src, body)}
	}
	if !isBatch(&src, body) {
		records := make([]mes.Record, 1)
		d.DecodeOne(src, body, &records[0])
		return records
	}
	batch, fault := d.Open(src, body)
	if fault != nil {
		src = sourceOfBatch(src)
		return []mes.Record{faulty(&src, bytes.TrimPrefix(body, utf8BOM), fault)}
	}
	records := make([]mes.Record, batch.Len())
	return records[:batch.Next(records)]
}

// DecodeOne makes a record of the bytes of one message. Like Decode, it never
// fails.
func (d *JSONDecoder) DecodeOne(src Source, body []byte, rec *mes.Record) {
	src = withZoneName(src)
	r := d.readers.Get().(*reader)
	d.decodeOne(r, &src, bytes.TrimPrefix(body, utf8BOM), rec)
	d.readers.Put(r)
}

// withZoneName notes the zone that the binding sets, for a replay.
func withZoneName(src Source) Source {
	if src.Zone != nil {
		src.Origin.TimeZone = src.Zone.String()
	}
	return src
}

// isBatch tells whether the body is an array or lines of messages.
func isBatch(src *Source, body []byte) bool {
	start := bytes.TrimLeft(bytes.TrimPrefix(body, utf8BOM), " \t\r\n")
	return Format(src.Origin.Format) == FormatNDJSON || len(start) > 0 && start[0] == '['
}

// decodeOne makes a record of one message.
func (d *JSONDecoder) decodeOne(r *reader, src *Source, raw []byte, rec *mes.Record) {
	defer r.forget()
	n, fault := d.parse(r, raw)
	if fault != nil {
		*rec = faulty(src, raw, fault)
		return
	}
	b := builder{sites: d.sites, src: *src, raw: raw, rec: rec}
	b.start()
	switch format(src, n) {
	case FormatEnvelope:
		b.envelope(n)
	case FormatSnapshot:
		b.snapshot(n)
	case FormatValue:
		b.singleValue(n)
	case FormatDataValue:
		b.dataValue(n)
	case FormatPayload:
		b.payload(n)
	default:
		b.flat(n)
	}
	b.finish()
}

func (d *JSONDecoder) tooLarge(size int) *mes.Error {
	return mes.Errorf(mes.CodeTooLarge, "a record has at most %d bytes, not %d", d.limits.MaxRecord, size)
}

// parse reads the object that a message is.
func (d *JSONDecoder) parse(r *reader, raw []byte) (node, *mes.Error) {
	n, fault := d.read(r, raw)
	if fault == nil && n.kind != '{' {
		fault = mes.Errorf(mes.CodeInvalid, "a message is a JSON object, not %s", n.kindName())
	}
	return n, fault
}

// read reads a JSON value.
func (d *JSONDecoder) read(r *reader, raw []byte) (node, *mes.Error) {
	if len(raw) > d.limits.MaxRecord {
		return node{}, d.tooLarge(len(raw))
	}
	n, ok := r.read(string(raw), d.limits.MaxDepth)
	if !ok {
		if len(bytes.TrimSpace(raw)) == 0 {
			return node{}, mes.Errorf(mes.CodeMalformed, "the message is empty")
		}
		var fault *mes.Error
		if n, fault = parseJSON(raw, d.limits.MaxDepth); fault != nil {
			return node{}, fault
		}
	}
	return n, nil
}

// format tells the shape of a message. An object that names its machine is
// flat, whatever else it holds.
func format(src *Source, n node) Format {
	switch f := Format(src.Origin.Format); {
	case f == FormatDataValue && !n.has("signals") && !n.has("node_id"):
		// A correction by hand, in any of the other shapes.
	case f == FormatPayload && !isPayload(src, n):
	case f != FormatAuto && f != "":
		return f
	}
	switch {
	case n.has("machine_id"):
		return FormatFlat
	case n.has("DataType") && n.has("Payload"):
		return FormatEnvelope
	case n.has("variables"):
		return FormatSnapshot
	case n.has("node_id") && n.has("value"):
		return FormatValue
	default:
		return FormatFlat
	}
}

// isPayload tells whether an object is the payload of an envelope, and of no other shape.
func isPayload(src *Source, n node) bool {
	other := n.has("machine_id") || n.has("DataType") && n.has("Payload") || n.has("variables") || n.has("node_id") && n.has("value")
	return !other && (n.has("MachineID") || n.has("Value")) && (src.DataType == mes.Production || src.DataType == mes.Quality)
}

// faulty is a message that can't be read: what the door knew, its bytes, and why.
func faulty(src *Source, raw []byte, fault *mes.Error) mes.Record {
	return mes.Record{
		SiteID: src.SiteID, MachineID: src.MachineID, DataType: src.DataType,
		TimeOrigin: mes.TimeReceipt, ReceivedAt: src.ReceivedAt,
		Origin: src.Origin, Payload: raw, Fault: fault, Answerable: src.Answerable,
	}
}
