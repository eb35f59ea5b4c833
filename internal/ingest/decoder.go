package ingest

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

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
	// FormatNDJSON is one message of any shape a line.
	FormatNDJSON Format = "ndjson"
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
	limits Limits
	sites  *Sites
}

// NewDecoder returns a decoder of every built-in format.
func NewDecoder(limits Limits, sites *Sites) *JSONDecoder {
	return &JSONDecoder{limits: limits, sites: sites}
}

// maxBatchSignals bounds the signals of all records of a batch, since the writer,
// and everybody who waits for it, is busy with each of them.
const maxBatchSignals = 200_000

var utf8BOM = []byte{0xef, 0xbb, 0xbf}

// Decode turns the bytes of a message, or of an array or lines of messages,
// into records in their order. See Decoder.
func (d *JSONDecoder) Decode(src Source, body []byte) []mes.Record {
	if src.Zone != nil {
		src.Origin.TimeZone = src.Zone.String()
	}
	body = bytes.TrimPrefix(body, utf8BOM)
	if Format(src.Origin.Format) == FormatNDJSON {
		return d.decodeLines(src, body)
	}
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if len(trimmed) > 0 && trimmed[0] == '[' {
		return d.decodeArray(src, body)
	}
	return []mes.Record{d.decodeOne(src, body)}
}

func (d *JSONDecoder) decodeLines(src Source, body []byte) []mes.Record {
	src.Answerable = false
	src.Origin.Format = string(FormatAuto)
	var batch gathered
	for line := range bytes.Lines(body) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if fault := d.add(&batch, src, line); fault != nil {
			return []mes.Record{faulty(src, body, fault)}
		}
	}
	if len(batch.records) == 0 {
		return []mes.Record{faulty(src, body, mes.Errorf(mes.CodeMalformed, "the body has no line with a message"))}
	}
	return batch.records
}

// decodeArray reads each element by itself, so that a bad one does not spoil
// the rest. An array whose end can't be found is bad as a whole.
func (d *JSONDecoder) decodeArray(src Source, body []byte) []mes.Record {
	src.Answerable = false
	dec := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	whole := func(err error) []mes.Record { return []mes.Record{faulty(src, body, syntaxFault(body, err))} }
	if _, err := dec.ReadToken(); err != nil {
		return whole(err)
	}
	var batch gathered
	for dec.PeekKind() != ']' {
		raw, err := dec.ReadValue()
		if err != nil {
			return whole(err)
		}
		end := dec.InputOffset()
		// The same bytes in the body, which outlive the next read.
		if fault := d.add(&batch, src, body[end-int64(len(raw)):end:end]); fault != nil {
			return []mes.Record{faulty(src, body, fault)}
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return whole(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return whole(mes.Errorf(mes.CodeMalformed, "the message goes on after its array ends at byte %d", dec.InputOffset()))
	}
	if len(batch.records) == 0 {
		return whole(mes.Errorf(mes.CodeInvalid, "the array is empty; send at least one record"))
	}
	return batch.records
}

// gathered are the records of a batch so far.
type gathered struct {
	records []mes.Record
	signals int
}

// add decodes one more message of a batch. It returns the fault of the whole
// batch once it holds too much.
func (d *JSONDecoder) add(batch *gathered, src Source, raw []byte) *mes.Error {
	if len(batch.records) == d.limits.MaxBatch {
		return mes.Errorf(mes.CodeTooLarge, "a batch has at most %d records", d.limits.MaxBatch)
	}
	rec := d.decodeOne(src, raw)
	batch.records = append(batch.records, rec)
	if batch.signals += len(rec.Signals); batch.signals > maxBatchSignals {
		return mes.Errorf(mes.CodeTooLarge, "the records of a batch have at most %d signals together", maxBatchSignals)
	}
	return nil
}

func (d *JSONDecoder) decodeOne(src Source, raw []byte) mes.Record {
	if len(raw) > d.limits.MaxRecord {
		return faulty(src, raw, mes.Errorf(mes.CodeTooLarge, "a record has at most %d bytes, not %d", d.limits.MaxRecord, len(raw)))
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return faulty(src, raw, mes.Errorf(mes.CodeMalformed, "the message is empty"))
	}
	n, fault := parseJSON(raw, d.limits.MaxDepth)
	if fault != nil {
		return faulty(src, raw, fault)
	}
	if n.kind != '{' {
		return faulty(src, raw, mes.Errorf(mes.CodeInvalid, "a message is a JSON object, not %s", n.kindName()))
	}
	b := newBuilder(d.sites, src, raw)
	switch format(src, n) {
	case FormatEnvelope:
		b.envelope(n)
	case FormatSnapshot:
		b.snapshot(n)
	case FormatValue:
		b.singleValue(n)
	case FormatDataValue:
		b.dataValue(n)
	default:
		b.flat(n)
	}
	return b.record()
}

// format tells the shape of a message. An object that names its machine is
// flat, whatever else it holds.
func format(src Source, n node) Format {
	switch f := Format(src.Origin.Format); {
	case f == FormatDataValue && !n.has("signals") && !n.has("node_id"):
		// A correction by hand, in any of the other shapes.
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

// faulty is a message that can't be read: what the door knew, its bytes, and why.
func faulty(src Source, raw []byte, fault *mes.Error) mes.Record {
	return mes.Record{
		SiteID: src.SiteID, MachineID: src.MachineID, DataType: src.DataType,
		TimeOrigin: mes.TimeReceipt, ReceivedAt: src.ReceivedAt,
		Origin: src.Origin, Payload: raw, Fault: fault, Answerable: src.Answerable,
	}
}
