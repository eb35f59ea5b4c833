package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"plantgate/internal/mes"
)

// Fault is what is wrong with a key of a Spec, named as the configuration names it below
// the binding: json.signals[0].pointer.
type Fault struct{ Key, Detail string }

// Compile checks a spec. Captures are the names of the levels that the topic filter
// captures. It returns nil where the spec says nothing: the binding has a built-in format
// and neither units nor constants.
func Compile(s Spec, captures []string) (*Mapping, []Fault) {
	c := compiler{captures: captures}
	m := &Mapping{Format: s.Format, TimeFormat: s.TimeFormat, DecimalComma: s.DecimalComma, Units: s.Units}
	if m.TimeFormat == "" {
		m.TimeFormat = TimeAuto
	}
	c.belongs(s)
	c.oneOf("time_format", m.TimeFormat, TimeAuto, TimeRFC3339, TimeUnix, TimeUnixMillis, TimeUnixMicros, TimeUnixNanos, TimeNone)
	m.StatusMap = c.statusMap(s.StatusMap)
	m.QualityMap = c.qualityMap(s.QualityMap)
	m.Constants = c.constants(s.Constants)
	for _, name := range slices.Sorted(maps.Keys(s.Units)) {
		c.name("units", name)
	}
	switch s.Format {
	case JSON:
		c.document(s.JSON, m)
	case CSV:
		c.table(s.CSV, m)
	case Number, Text:
		m.Value = c.value(s)
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	if !IsMapped(s.Format) && len(m.Units) == 0 && len(m.Constants) == 0 {
		return nil, nil
	}
	return m, nil
}

// compiler gathers every fault.
type compiler struct {
	captures []string
	faults   []Fault
}

func (c *compiler) fault(key, format string, args ...any) {
	c.faults = append(c.faults, Fault{key, fmt.Sprintf(format, args...)})
}

func (c *compiler) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.fault(key, "must be one of %s, not %q", strings.Join(allowed, ", "), value)
	}
}

// belongs names the keys that the format has no use for.
func (c *compiler) belongs(s Spec) {
	for _, k := range []struct {
		key     string
		given   bool
		formats []string
	}{
		{"json", s.JSON != nil, []string{JSON}},
		{"csv", s.CSV != nil, []string{CSV}},
		{"time_format", s.TimeFormat != "", []string{JSON, CSV}},
		{"quality_map", s.QualityMap != nil, []string{JSON, CSV}},
		{"status_map", s.StatusMap != nil, Formats()},
		{"signal", s.Signal != "", []string{Number, Text}},
		{"scale", s.Scale != "", []string{Number}},
		{"offset", s.Offset != "", []string{Number}},
		{"decimal_comma", s.DecimalComma, []string{Number, CSV}},
	} {
		if k.given && !slices.Contains(k.formats, s.Format) {
			c.fault(k.key, "is only for the format %s, not for %s", strings.Join(k.formats, " or "), s.Format)
		}
	}
}

func (c *compiler) statusMap(texts map[string]string) map[string]mes.Status {
	if texts == nil {
		return nil
	}
	m := make(map[string]mes.Status, len(texts))
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		status := mes.Status(texts[key])
		if !status.IsKnown() {
			c.fault("status_map."+key, "must be Running, Idle, Stopped or Maintenance, not %q", texts[key])
		}
		m[key] = status
	}
	return m
}

// Qualities are the texts of a quality, and the least StatusCode of each (OPC 10000-4, 7.39).
var qualities = map[string]mes.StatusCode{"good": 0, "uncertain": 0x40000000, "bad": 0x80000000}

// QualityOf reads the text of a quality: good, uncertain, bad in any case, or the number
// of an OPC UA StatusCode, decimal or with 0x.
func QualityOf(text string) (mes.StatusCode, bool) {
	if code, ok := qualities[strings.ToLower(text)]; ok {
		return code, true
	}
	digits, base := text, 10
	if rest, hex := strings.CutPrefix(text, "0x"); hex {
		digits, base = rest, 16
	}
	code, err := strconv.ParseUint(digits, base, 32)
	return mes.StatusCode(code), err == nil
}

func (c *compiler) qualityMap(texts map[string]string) map[string]mes.StatusCode {
	if texts == nil {
		return nil
	}
	m := make(map[string]mes.StatusCode, len(texts))
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		code, ok := QualityOf(texts[key])
		if !ok {
			c.fault("quality_map."+key, "must be good, uncertain, bad or the number of an OPC UA StatusCode, not %q", texts[key])
		}
		m[key] = code
	}
	return m
}

func (c *compiler) constants(values map[string]any) []Constant {
	var list []Constant
	for _, name := range slices.Sorted(maps.Keys(values)) {
		key := "constants." + name
		c.name("constants", name)
		constant := Constant{Name: name}
		switch v := values[name].(type) {
		case string:
			constant.value, constant.text = mes.String(v), c.template(key, v, false)
		case bool:
			constant.value = mes.Bool(v)
		case int:
			constant.value = mes.Int(int64(v))
		case int64:
			constant.value = mes.Int(v)
		case uint64:
			constant.value = mes.Uint(v)
		case float64:
			constant.value = mes.Float(v, 64)
		default:
			c.fault(key, "must be a text, a number, true or false")
		}
		list = append(list, constant)
	}
	return list
}

func (c *compiler) name(key, name string) {
	if name == "" || len(name) > mes.MaxSignalNameLength {
		c.fault(key, "the name of a signal has 1 to %d bytes", mes.MaxSignalNameLength)
	}
}

// template checks that what stands in braces is captured, or the key of an element.
func (c *compiler) template(key, text string, inElement bool) Template {
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return template(text)
		}
		name, next, closed := strings.Cut(after, "}")
		switch {
		case !closed:
			c.fault(key, "a brace is not closed in %q", text)
			return template(text)
		case name == "key" && !inElement:
			c.fault(key, "{key} is the name of an element: it is only for signals of each")
		case name != "key" && !slices.Contains(c.captures, name):
			c.fault(key, "{%s} is no captured level of the topic", name)
		}
		rest = next
	}
}

func (c *compiler) pointer(key, text string) Pointer {
	p, err := ParsePointer(text)
	if err != nil {
		c.fault(key, "%s", err)
	}
	return p
}

func (c *compiler) optionalPointer(key, text string) *Pointer {
	if text == "" {
		return nil
	}
	p := c.pointer(key, text)
	return &p
}

func (c *compiler) decimal(key, text string) *mes.Decimal {
	if text == "" {
		return nil
	}
	d, err := mes.ParseDecimal(text)
	if err != nil {
		c.fault(key, "%s", err)
		return nil
	}
	return &d
}

// value compiles what a number or text becomes.
func (c *compiler) value(s Spec) Signal {
	v := Signal{Name: c.template("signal", s.Signal, false), Scale: c.decimal("scale", s.Scale), Offset: c.decimal("offset", s.Offset)}
	switch {
	case s.Signal == "" && slices.Contains(c.captures, "signal"):
		v.Name = template("{signal}")
	case s.Signal == "" && s.StatusMap == nil:
		c.fault("signal", "is required: a %s has no name, and the topic has no {signal}", s.Format)
	}
	return v
}
