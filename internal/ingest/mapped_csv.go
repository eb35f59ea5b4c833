package ingest

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mes"
)

// decodeCSV reads lines of values (RFC 4180), each a record. A line that can't be read is
// a fault of its own, with the line that names the columns before it, so that it can be
// read again by itself.
func (d *JSONDecoder) decodeCSV(src *Source, raw []byte) []mes.Record {
	body := bytes.TrimPrefix(raw, utf8BOM)
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return []mes.Record{faulty(src, raw, mes.Errorf(mes.CodeMalformed, "the message is empty"))}
	case !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0:
		return []mes.Record{faulty(src, raw, mes.Errorf(mes.CodeMalformed, "the message is not text in UTF-8"))}
	}
	t := table{decoder: d, src: src, body: body, spec: &src.Mapping.Table, columns: src.Mapping.Table.Columns}
	t.reader = csv.NewReader(bytes.NewReader(body))
	t.reader.Comma, t.reader.FieldsPerRecord, t.reader.TrimLeadingSpace = t.spec.Separator, -1, t.spec.Separator != '\t' && t.spec.Separator != ' '
	if fault := t.readHeader(); fault != nil {
		return []mes.Record{faulty(src, raw, fault)}
	}
	t.plan()
	records, fault := t.lines()
	if fault != nil {
		return []mes.Record{faulty(src, raw, fault)}
	}
	return records
}

// table is a CSV message on its way to records.
type table struct {
	decoder *JSONDecoder
	src     *Source
	body    []byte
	spec    *mapping.Table
	reader  *csv.Reader
	columns []string
	// header is the line that names the columns, with its end.
	header []byte
	// kept is how many bytes it takes before lines that are kept, first why the first was.
	kept  int
	first string
	// members and signals are the columns in the order in which they are read.
	members []memberColumn
	signals []signalColumn
}

// maxHeader is how long the line that names the columns may be, in bytes.
const maxHeader = 16 << 10

type memberColumn struct {
	at    int
	name  string
	place *mapping.Place
}

type signalColumn struct {
	at     int
	name   string
	signal *mapping.Signal
}

// readHeader reads the names of the columns where the message has them.
func (t *table) readHeader() *mes.Error {
	if t.spec.Header {
		names, err := t.reader.Read()
		if err != nil {
			return mes.Errorf(mes.CodeMalformed, "the line that names the columns can't be read: %s", reasonOf(err))
		}
		t.header = t.body[:t.reader.InputOffset()]
		if len(t.header) > maxHeader || len(names) > mes.MaxSignals {
			return mes.Errorf(mes.CodeTooLarge, "the line that names the columns has at most %d bytes and %d names, since it stands before each line that is kept",
				maxHeader, mes.MaxSignals)
		}
		seen := make(map[string]bool, len(names))
		for _, name := range names {
			name = strings.TrimSpace(name)
			if seen[name] && name != "" {
				return mes.Errorf(mes.CodeInvalid, "two columns have the name %q", abbreviated(name))
			}
			seen[name] = true
			t.columns = append(t.columns, name)
		}
	}
	if name := t.spec.Missing(t.columns); name != "" {
		return mes.Errorf(mes.CodeInvalid, "the column %q is missing", name)
	}
	return nil
}

// lines makes records of all lines.
func (t *table) lines() ([]mes.Record, *mes.Error) {
	var records []mes.Record
	var told batchFaults
	signals := 0
	for from := t.reader.InputOffset(); ; from = t.reader.InputOffset() {
		fields, err := t.reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if len(records) >= t.decoder.limits.MaxBatch {
			return nil, t.decoder.tooMany()
		}
		raw := t.body[from:t.reader.InputOffset()]
		if len(bytes.TrimSpace(raw)) == 0 {
			continue
		}
		made := t.line(t.number(err), bytes.TrimLeft(raw, "\r\n"), fields, err)
		for i := range made {
			signals += len(made[i].Signals)
			if fault := t.keep(&made[i], &told); fault != nil {
				return nil, fault
			}
		}
		if signals > maxBatchSignals {
			return nil, tooManySignals()
		}
		records = append(records, made...)
	}
	if len(records) == 0 {
		return nil, mes.Errorf(mes.CodeInvalid, "the message has no line with values")
	}
	for i := range records {
		records[i].Answerable = records[i].Answerable && len(records) == 1
	}
	return records, nil
}

// number is that of the line that was just read, from 1.
func (t *table) number(err error) int {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return parse.StartLine
	}
	line, _ := t.reader.FieldPos(0)
	return line
}

// maxKeptHeaders bounds the lines that name the columns before lines that are kept, in bytes
// together.
const maxKeptHeaders = 4 << 20

// keep gives a line that is kept the one that names the columns, as long as all of them are
// not many times the message.
func (t *table) keep(r *mes.Record, told *batchFaults) *mes.Error {
	if r.Fault == nil {
		return nil
	}
	told.bound(r)
	if len(t.header) == 0 {
		return nil
	}
	if t.kept += len(t.header); t.kept > maxKeptHeaders {
		return mes.Errorf(mes.CodeTooLarge, "so many lines can't be read that with the line that names the columns before each they have more than %d bytes; "+
			"the message is kept as a whole. The first: %s", maxKeptHeaders, t.first)
	}
	if t.first == "" {
		t.first = shortened(r.Fault.Error())
	}
	r.Payload = slices.Concat(t.header, r.Payload)
	return nil
}

// line makes a record of one line.
func (t *table) line(number int, raw []byte, fields []string, err error) []mes.Record {
	var fault *mes.Error
	switch {
	case len(t.header)+len(raw) > t.decoder.limits.MaxRecord:
		fault = t.decoder.tooLarge(len(t.header) + len(raw))
	case err != nil:
		fault = mes.Errorf(mes.CodeMalformed, "the line can't be read: %s", reasonOf(err))
	case len(fields) != len(t.columns):
		fault = mes.Errorf(mes.CodeInvalid, "line %d has %d values for %d columns", number, len(fields), len(t.columns))
	}
	if fault != nil {
		return []mes.Record{faulty(t.src, raw, fault)}
	}
	m := t.decoder.newMapped(t.src, raw)
	m.where = fmt.Sprintf("line %d: ", number)
	t.read(m, fields)
	return m.records()
}

// plan sorts the columns: the members with the site before the others, and the signals.
func (t *table) plan() {
	order := mapping.Order()
	for _, which := range order {
		for i, name := range t.columns {
			switch place, signal := t.spec.Column(name); {
			case place != nil && place.Member == which:
				t.members = append(t.members, memberColumn{i, name, place})
			case signal != nil && which == order[0]:
				t.signals = append(t.signals, signalColumn{i, name, signal})
			}
		}
	}
}

// read gives the fields of a line to its record.
func (t *table) read(m *mapped, fields []string) {
	for _, c := range t.members {
		switch text := strings.TrimSpace(fields[c.at]); {
		case text != "":
			m.member(&m.first, c.place.Member, mes.Pointer(c.name), m.memberNode(c.place.Member, text))
		case !c.place.Optional:
			m.fault(mes.Pointer(c.name), "is required: it is the %s", c.place.Member)
		}
	}
	if m.first.status != "" {
		m.touch(m.first)
	}
	for _, c := range t.signals {
		m.field(m.first, c.signal, c.name, fields[c.at])
	}
}

// memberNode is the value of a member. An id is the text that it is, digit by digit.
func (m *mapped) memberNode(which mapping.Member, text string) node {
	switch which {
	case mapping.Site, mapping.Machine, mapping.DataType, mapping.MessageID:
		return node{kind: '"', text: text}
	}
	return scalar(text, m.mapping.DecimalComma)
}

// field gives the value of a column to its record. An empty one is no value.
func (m *mapped) field(h header, s *mapping.Signal, column, text string) {
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		if !s.Optional {
			m.fault(mes.Pointer(column), "is required: it is a signal")
		}
		return
	}
	n := node{kind: '"', text: text}
	if s.Type != mapping.TypeText {
		if n = scalar(trimmed, m.mapping.DecimalComma); n.kind == '"' {
			n.text = text
		}
	}
	if v, ok := m.value(s, mes.Pointer(column), n); ok {
		m.add(h, h.code, mes.Signal{Name: s.Name.Expand(m.mapping.Captures, ""), Value: v, Unit: s.Unit})
	}
}

// reasonOf is the fault of a line without the words of the library.
func reasonOf(err error) string {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return fmt.Sprintf("line %d, column %d: %s", parse.Line, parse.Column, parse.Err.Error())
	}
	return "it ends too early"
}
