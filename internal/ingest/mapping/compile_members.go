package mapping

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// places returns where members stand, in the order in which they are read.
func (m Members) places() []struct {
	member Member
	text   string
} {
	return []struct {
		member Member
		text   string
	}{
		{Site, m.Site}, {Machine, m.Machine}, {DataType, m.DataType}, {Time, m.Time}, {Status, m.Status},
		{MessageID, m.MessageID}, {Sequence, m.Sequence}, {Quality, m.Quality},
	}
}

// Order lists the members in the order in which they are read: the zone of a time depends
// on the site.
func Order() []Member {
	return []Member{Site, Machine, DataType, Time, Status, MessageID, Sequence, Quality}
}

// members compiles where members stand; also are further names that may be optional.
func (c *compiler) members(key string, m Members, also ...string) (list []Place) {
	known := slices.Clone(also)
	for _, p := range m.places() {
		if p.text != "" {
			known = append(known, string(p.member))
			list = append(list, Place{p.member, Pointer{Text: p.text}, slices.Contains(m.Optional, string(p.member))})
		}
	}
	for _, name := range m.Optional {
		if !slices.Contains(known, name) {
			c.fault(key+".optional", "%q is no member that is given here", name)
		}
	}
	return list
}

// document compiles the mapping of a JSON document.
func (c *compiler) document(s *JSONSpec, m *Mapping) {
	if s == nil {
		c.fault("json", "is required: it says what the members of a message are")
		return
	}
	if len(s.Signals) == 0 && len(s.Each) == 0 && s.Status == "" {
		c.fault("json", "needs signals, each or status: there would be no value")
	}
	m.Document = c.object("json", s.Members, s.Signals, false)
	for i, e := range s.Each {
		key := fmt.Sprintf("json.each[%d]", i)
		if len(e.Signals) == 0 && e.Status == "" {
			c.fault(key, "needs signals or status: there would be no value")
		}
		m.Each = append(m.Each, Each{
			Path: c.pointer(key+".path", e.Path), Optional: slices.Contains(e.Optional, "path"),
			Object: c.object(key, e.Members, e.Signals, true),
		})
	}
}

func (c *compiler) object(key string, m Members, signals []SignalSpec, inElement bool) Object {
	var o Object
	if inElement {
		o.Members = c.members(key, m, "path")
	} else {
		o.Members = c.members(key, m)
	}
	for i := range o.Members {
		p := &o.Members[i]
		p.Pointer = c.pointer(key+"."+string(p.Member), p.Pointer.Text)
	}
	for i, s := range signals {
		o.Signals = append(o.Signals, c.signal(fmt.Sprintf("%s.signals[%d]", key, i), s, inElement))
	}
	return o
}

func (c *compiler) signal(key string, s SignalSpec, inElement bool) Signal {
	signal := Signal{
		Name: c.template(key+".name", s.Name, inElement), NamePointer: c.optionalPointer(key+".name_pointer", s.NamePointer),
		Pointer: c.pointer(key+".pointer", s.Pointer), Unit: s.Unit, UnitPointer: c.optionalPointer(key+".unit_pointer", s.UnitPointer),
		QualityPointer: c.optionalPointer(key+".quality_pointer", s.QualityPointer),
		Type:           s.Type, Scale: c.decimal(key+".scale", s.Scale), Offset: c.decimal(key+".offset", s.Offset), Optional: s.Optional,
	}
	switch {
	case s.Name == "" && s.NamePointer == "":
		c.fault(key+".name", "one of name and name_pointer is required")
	case s.Name != "" && s.NamePointer != "":
		c.fault(key+".name_pointer", "name is given too: one of them")
	}
	if s.Pointer == "" && !inElement {
		c.fault(key+".pointer", "is required: the whole message is no value")
	}
	c.valueType(key, s.Type, s.Scale+s.Offset)
	return signal
}

func (c *compiler) valueType(key, name, scale string) {
	if name == "" {
		return
	}
	c.oneOf(key+".type", name, TypeNumber, TypeText, TypeBoolean)
	if scale != "" && name != TypeNumber {
		c.fault(key+".type", "only a number has scale and offset")
	}
}

// table compiles the mapping of CSV.
func (c *compiler) table(s *CSVSpec, m *Mapping) {
	if s == nil {
		c.fault("csv", "is required: it says what the columns are")
		return
	}
	t := Table{Separator: ',', Header: s.Header, Columns: s.Columns}
	if s.Separator != "" {
		t.Separator, _ = utf8.DecodeRuneInString(s.Separator)
		if utf8.RuneCountInString(s.Separator) != 1 || t.Separator == 0 || t.Separator == '"' || t.Separator == '\r' || t.Separator == '\n' || t.Separator == utf8.RuneError {
			c.fault("csv.separator", "must be one character that is no quote and no end of a line")
		}
	}
	if m.DecimalComma && t.Separator == ',' {
		c.fault("csv.separator", "must be another than the comma of decimal_comma")
	}
	switch {
	case s.Header && len(s.Columns) > 0:
		c.fault("csv.columns", "the header of the message names the columns: one of header and columns")
	case !s.Header && len(s.Columns) == 0:
		c.fault("csv.columns", "is required where the message has no header")
	}
	for i, name := range s.Columns {
		if name != "" && slices.Contains(s.Columns[:i], name) {
			c.fault(fmt.Sprintf("csv.columns[%d]", i), "%q is the name of another column", name)
		}
	}
	c.columns(s, &t)
	m.Table = t
}

// columns compiles what the columns are, each of them one thing.
func (c *compiler) columns(s *CSVSpec, t *Table) {
	t.members, t.ignored, t.signals = map[string]Place{}, map[string]bool{}, map[string]Signal{}
	taken := map[string]bool{}
	take := func(key, column string) {
		switch {
		case !s.Header && len(s.Columns) > 0 && !slices.Contains(s.Columns, column):
			c.fault(key, "%q is no column", column)
		case taken[column]:
			c.fault(key, "the column %q is something else already", column)
		}
		taken[column] = true
	}
	for _, p := range c.members("csv", s.Members) {
		take("csv."+string(p.Member), p.Pointer.Text)
		t.members[p.Pointer.Text] = p
	}
	for i, column := range s.Ignore {
		take(fmt.Sprintf("csv.ignore[%d]", i), column)
		t.ignored[column] = true
	}
	for i, spec := range s.Signals {
		key := fmt.Sprintf("csv.signals[%d]", i)
		if spec.Column == "" {
			c.fault(key+".column", "is required")
		} else {
			take(key+".column", spec.Column)
		}
		name := spec.Name
		if name == "" {
			name = spec.Column
		}
		c.valueType(key, spec.Type, spec.Scale+spec.Offset)
		t.signals[spec.Column] = Signal{
			Name: c.template(key+".name", name, false), Unit: spec.Unit, Type: spec.Type,
			Scale: c.decimal(key+".scale", spec.Scale), Offset: c.decimal(key+".offset", spec.Offset), Optional: !spec.Required,
		}
	}
}
