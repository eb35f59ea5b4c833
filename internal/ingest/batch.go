package ingest

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"plantgate/internal/mes"
)

// maxBatchSignals bounds the signals of all records of a batch, since the writer,
// and everybody who waits for it, is busy with each of them.
const maxBatchSignals = 200_000

// Batch is an array or lines of messages, of which some at a time become records,
// so that not all have to be in memory together.
type Batch struct {
	decoder *JSONDecoder
	src     Source
	// rest is what was not read yet: elements with what stands between them, or
	// lines.
	rest  []byte
	lines bool
	size  int
	told  batchFaults
}

// Open begins to read an array or lines of messages. It fails where the body as a
// whole can't be taken: it has too much, nothing, or no end. What is wrong with one
// message is a fault of its record. The records refer to the body.
func (d *JSONDecoder) Open(src Source, body []byte) (*Batch, *mes.Error) {
	b := &Batch{decoder: d, rest: bytes.TrimPrefix(body, utf8BOM), lines: Format(src.Origin.Format) == FormatNDJSON}
	b.src = sourceOfBatch(src)
	var fault *mes.Error
	if b.lines {
		b.size, fault = d.countLines(b.rest)
	} else {
		b.size, fault = d.countElements(b.rest)
		b.rest = b.rest[bytes.IndexByte(b.rest, '[')+1:]
	}
	if fault == nil {
		fault = b.checkSignals()
	}
	if fault != nil {
		return nil, fault
	}
	return b, nil
}

// sourceOfBatch is what the door knows of each message of a batch.
func sourceOfBatch(src Source) Source {
	src = withZoneName(src)
	src.Answerable = false
	if Format(src.Origin.Format) == FormatNDJSON {
		src.Origin.Format = string(FormatAuto)
	}
	return src
}

// Len is the number of messages.
func (b *Batch) Len() int { return b.size }

// Next makes records of the next messages, as many as there is room for, and
// returns how many there were: 0 at the end.
func (b *Batch) Next(records []mes.Record) int {
	r := b.decoder.readers.Get().(*reader)
	defer b.decoder.readers.Put(r)
	for i := range records {
		raw := b.message()
		if raw == nil {
			return i
		}
		b.decoder.decodeOne(r, &b.src, raw, &records[i])
		b.told.bound(&records[i])
	}
	return len(records)
}

// message returns the bytes of the next message, nil at the end.
func (b *Batch) message() []byte {
	if b.lines {
		return nextLine(&b.rest)
	}
	return nextElement(&b.rest)
}

// nextLine returns the next line that is not empty, and leaves it behind.
func nextLine(rest *[]byte) []byte {
	for len(*rest) > 0 {
		end := bytes.IndexByte(*rest, '\n') + 1
		if end == 0 {
			end = len(*rest)
		}
		line := bytes.TrimSpace((*rest)[:end:end])
		*rest = (*rest)[end:]
		if len(line) > 0 {
			return line
		}
	}
	return nil
}

// nextElement returns the next element of an array that is known to be well-formed,
// and leaves it behind.
func nextElement(rest *[]byte) []byte {
	s := *rest
	at := scanSpace(s, 0)
	if at < len(s) && s[at] == ',' {
		at = scanSpace(s, at+1)
	}
	if at == len(s) || s[at] == ']' {
		return nil
	}
	end := elementEnd(s, at)
	*rest = s[end:]
	return s[at:end:end]
}

// elementEnd returns where the element that begins at at ends. However deeply it
// is nested, this takes no memory.
func elementEnd(s []byte, at int) int {
	for depth := 0; ; {
		switch s[at] {
		case '"':
			at, _, _ = scanString(s, at)
		case '{', '[':
			depth++
			at++
		case '}', ']':
			depth--
			at++
		case ',', ':', ' ', '\t', '\r', '\n':
			at++
		default:
			at, _, _ = scanLiteral(s, at)
		}
		if depth == 0 {
			return at
		}
	}
}

// checkSignals bounds the signals of the batch. Each has a colon before its value,
// so that only a body with very many of them has to be read for it.
func (b *Batch) checkSignals() *mes.Error {
	if bytes.Count(b.rest, []byte(":")) <= maxBatchSignals {
		return nil
	}
	ahead, signals := *b, 0
	for rec := make([]mes.Record, 1); ahead.Next(rec) > 0; {
		if signals += len(rec[0].Signals); signals > maxBatchSignals {
			return tooManySignals()
		}
	}
	return nil
}

// countLines counts messages.
func (d *JSONDecoder) countLines(body []byte) (int, *mes.Error) {
	n := 0
	for rest := body; ; n++ {
		line := nextLine(&rest)
		switch {
		case line == nil && n == 0:
			return 0, mes.Errorf(mes.CodeMalformed, "the body has no line with a message")
		case line == nil:
			return n, nil
		case n == d.limits.MaxBatch:
			return 0, d.tooMany()
		case len(line) > d.limits.MaxRecord && len(line) == len(bytes.TrimLeft(body, " \t\r\n")):
			return 0, d.tooLarge(len(line)) // nothing but this line
		}
	}
}

func (d *JSONDecoder) tooMany() *mes.Error {
	return mes.Errorf(mes.CodeTooLarge, "a batch has at most %d records", d.limits.MaxBatch)
}

func tooManySignals() *mes.Error {
	return mes.Errorf(mes.CodeTooLarge, "the records of a batch have at most %d signals together", maxBatchSignals)
}

// countElements counts the messages of an array. Each is read by itself later, so
// that a bad one does not spoil the rest, but an array whose end can't be found is
// bad as a whole.
func (d *JSONDecoder) countElements(body []byte) (int, *mes.Error) {
	if n, ok := countWellFormed(body); ok && n > 0 && n <= d.limits.MaxBatch {
		return n, nil
	}
	dec := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	if _, err := dec.ReadToken(); err != nil {
		return 0, syntaxFault(body, err)
	}
	n := 0
	for ; dec.PeekKind() != ']'; n++ {
		if _, err := dec.ReadValue(); err != nil {
			return 0, syntaxFault(body, err)
		}
		if n == d.limits.MaxBatch {
			return 0, d.tooMany()
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return 0, syntaxFault(body, err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return 0, mes.Errorf(mes.CodeMalformed, "the message goes on after its array ends at byte %d", dec.InputOffset())
	}
	if n == 0 {
		return 0, mes.Errorf(mes.CodeInvalid, "the array is empty; send at least one record")
	}
	return n, nil
}

// countWellFormed counts the elements of an array without looking for what may be
// wrong with it.
func countWellFormed(body []byte) (n int, ok bool) {
	if !utf8.Valid(body) {
		return 0, false
	}
	at := scanSpace(body, 0)
	if at == len(body) || body[at] != '[' {
		return 0, false
	}
	for more := true; more; n++ {
		if at, ok = scanValue(body, scanSpace(body, at+1), 0); !ok {
			return 0, false
		}
		at = scanSpace(body, at)
		more = at < len(body) && body[at] == ','
	}
	return n, at < len(body) && body[at] == ']' && scanSpace(body, at+1) == len(body)
}
