package ingest

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mes"
)

// member reads one member of a record. Null is as if it were missing.
func (m *mapped) member(h *header, which mapping.Member, pointer string, n node) {
	switch which {
	case mapping.Site:
		h.site = m.id(pointer, n)
	case mapping.Machine:
		h.machine = m.id(pointer, n)
		if site, id, ok := strings.Cut(h.machine, "~"); ok {
			h.site, h.machine = site, id
		}
	case mapping.DataType:
		h.dataType = mes.DataType(m.id(pointer, n))
	case mapping.Time:
		m.time(h, pointer, n)
	case mapping.Status:
		h.status = m.status(pointer, n)
	case mapping.MessageID:
		h.messageID = m.id(pointer, n)
	case mapping.Sequence:
		h.sequence, h.hasSequence = m.sequence(pointer, n)
	case mapping.Quality:
		h.code = m.quality(pointer, n)
	}
}

// id reads a text; numbers count as the text that they are, since many systems number
// their machines.
func (m *mapped) id(pointer string, n node) string {
	if n.kind == '"' && n.text != "" || n.kind == '0' {
		return n.text
	}
	m.fault(pointer, "must be a text that is not empty, not %s", n.kindName())
	return ""
}

// word is the text of a status or quality: that of a text, a number in its canonical
// form, true or false.
func word(n node) (string, bool) {
	switch n.kind {
	case '"':
		return n.text, true
	case '0', 't', 'f':
		v, err := n.value()
		return v.Text(), err == nil
	}
	return "", false
}

func (m *mapped) status(pointer string, n node) mes.Status {
	text, ok := word(n)
	if !ok {
		m.fault(pointer, "must be a status, not %s", n.kindName())
		return ""
	}
	status := mes.Status(text)
	if m.mapping.StatusMap != nil {
		if status, ok = m.mapping.StatusMap[text]; !ok {
			m.fault(pointer, "%q is not in status_map", abbreviated(text))
		}
		return status
	}
	if !status.IsKnown() {
		m.fault(pointer, "must be Running, Idle, Stopped or Maintenance, not %q; a status_map turns other texts into these", abbreviated(text))
	}
	return status
}

// quality reads a quality by quality_map, or else good, uncertain, bad, true for good,
// false for bad, or the number of an OPC UA StatusCode.
func (m *mapped) quality(pointer string, n node) mes.StatusCode {
	text, ok := word(n)
	if !ok {
		m.fault(pointer, "must be a quality, not %s", n.kindName())
		return 0
	}
	if m.mapping.QualityMap != nil {
		code, ok := m.mapping.QualityMap[text]
		if !ok {
			m.fault(pointer, "%q is not in quality_map", abbreviated(text))
		}
		return code
	}
	switch n.kind {
	case 't':
		text = "good"
	case 'f':
		text = "bad"
	}
	code, ok := mapping.QualityOf(text)
	if !ok {
		m.fault(pointer, "must be good, uncertain, bad or the number of an OPC UA StatusCode, not %q; a quality_map turns other texts into these", abbreviated(text))
	}
	return code
}

func (m *mapped) sequence(pointer string, n node) (int64, bool) {
	text, _ := word(n)
	if v, err := mes.Number(text); err == nil {
		if i, err := strconv.ParseInt(v.Text(), 10, 64); err == nil {
			return i, true
		}
	}
	m.fault(pointer, "must be a whole number of 64 bits")
	return 0, false
}

// time reads the source time by time_format.
func (m *mapped) time(h *header, pointer string, n node) {
	format := m.mapping.TimeFormat
	if format == mapping.TimeNone || n.kind == '"' && n.text == "None" {
		h.at, h.alt = time.Time{}, time.Time{}
		return
	}
	var t instant
	var err error
	switch format {
	case mapping.TimeAuto:
		zone := m.src.Zone
		if zone == nil {
			if zone, _ = m.sites.Zone(h.site); zone == nil {
				m.fault(m.place("/site_id"), "unknown site %q", abbreviated(h.site))
				return
			}
		}
		t, err = parseTimestamp(n, zone, m.src.ReceivedAt)
	case mapping.TimeRFC3339:
		t.time, err = parseRFC3339(n)
	default:
		t.time, err = parseUnix(n, format)
	}
	if err != nil {
		m.fault(pointer, "%s", err.Error())
		return
	}
	h.at, h.alt = t.time, t.alt
}

func parseRFC3339(n node) (time.Time, error) {
	if n.kind == '"' && len(n.text) <= 64 {
		if t, err := time.Parse(time.RFC3339Nano, n.text); err == nil {
			return mes.Micros(t), nil
		}
	}
	return time.Time{}, fmt.Errorf("must be a time of RFC 3339 with its offset, such as 2026-11-22T10:15:00.250Z")
}

// unitsPerMicro is how many units of a time are a microsecond.
var unitsPerMicro = map[string]*big.Rat{
	mapping.TimeUnix:       big.NewRat(1, 1_000_000),
	mapping.TimeUnixMillis: big.NewRat(1, 1000),
	mapping.TimeUnixMicros: big.NewRat(1, 1),
	mapping.TimeUnixNanos:  big.NewRat(1000, 1),
}

// maxMicros is the end of the year 9999.
var maxMicros = new(big.Rat).SetInt64(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())

// parseUnix reads a number, or the text of one, since 1970. What is finer than a
// microsecond is cut.
func parseUnix(n node, format string) (time.Time, error) {
	if n.kind == '"' || n.kind == '0' {
		if v, err := mes.Number(strings.TrimSpace(n.text)); err == nil {
			r, ok := new(big.Rat).SetString(v.Text())
			if ok {
				r.Quo(r, unitsPerMicro[format])
			}
			if ok && r.Sign() >= 0 && r.Cmp(maxMicros) < 0 {
				return time.UnixMicro(new(big.Int).Quo(r.Num(), r.Denom()).Int64()).UTC(), nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("must be a number since 1970 as time_format %s says", format)
}

// value makes the value of a signal.
func (m *mapped) value(s *mapping.Signal, pointer string, n node) (mes.Value, bool) {
	v, err := typed(s, n)
	if err == nil && !v.IsNull() {
		v, err = v.Scale(s.Scale, s.Offset)
	}
	if err != nil {
		m.fault(pointer, "%s", err.Error())
		return mes.Value{}, false
	}
	return v, true
}

// typed makes a value of the type that the mapping says; null is of each.
func typed(s *mapping.Signal, n node) (mes.Value, error) {
	kind := s.Type
	if kind == "" && (s.Scale != nil || s.Offset != nil) {
		kind = mapping.TypeNumber
	}
	if kind == "" || n.kind == 'n' {
		if n.kind == '{' {
			return mes.Value{}, fmt.Errorf("must be a single value or an array, not an object; each reads the members of one")
		}
		return n.value()
	}
	text, ok := word(n)
	switch {
	case !ok:
	case kind == mapping.TypeText:
		return mes.String(textOf(n)), nil
	case kind == mapping.TypeBoolean:
		switch strings.ToLower(text) {
		case "true", "1":
			return mes.Bool(true), nil
		case "false", "0":
			return mes.Bool(false), nil
		}
	case n.kind == '"' || n.kind == '0':
		if v, err := mes.Number(strings.TrimSpace(text)); err == nil {
			return v, nil
		}
	}
	return mes.Value{}, fmt.Errorf("must be a %s, not %s", kind, n.describe())
}

// textOf is a scalar as it was written.
func textOf(n node) string {
	if n.kind == '"' || n.kind == '0' {
		return n.text
	}
	text, _ := word(n)
	return text
}

// describe is the type of a value, and the value itself where that is a short text.
func (n node) describe() string {
	if n.kind == '"' || n.kind == '0' {
		return strconv.Quote(abbreviated(n.text))
	}
	return n.kindName()
}

// scalar reads text that is a number, true or false as that, and as text otherwise.
func scalar(text string, decimalComma bool) node {
	switch strings.ToLower(text) {
	case "true":
		return node{kind: 't'}
	case "false":
		return node{kind: 'f'}
	}
	number := strings.TrimPrefix(text, "+")
	if decimalComma {
		// A point may separate thousands: what has one is no number that is sure.
		number = strings.NewReplacer(".", " ", ",", ".").Replace(number)
	}
	if v, err := mes.Number(number); err == nil {
		return node{kind: '0', text: v.Text()}
	}
	return node{kind: jsontext.Kind('"'), text: text}
}

// abbreviated bounds what a fault quotes of a message.
func abbreviated(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
