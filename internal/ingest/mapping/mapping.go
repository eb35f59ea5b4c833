package mapping

import (
	"strings"

	"plantgate/internal/mes"
)

// Member is a part of a record besides its signals.
type Member string

// The members, by the names that a configuration has for them.
const (
	Site      Member = "site"
	Machine   Member = "machine"
	DataType  Member = "data_type"
	Time      Member = "time"
	Status    Member = "status"
	MessageID Member = "message_id"
	Sequence  Member = "sequence"
	Quality   Member = "quality"
)

// Mapping is a Spec that was checked. It is not changed after it was made.
type Mapping struct {
	Format       string
	TimeFormat   string
	StatusMap    map[string]mes.Status
	QualityMap   map[string]mes.StatusCode
	DecimalComma bool

	// Document is the JSON document, Each its lists.
	Document Object
	Each     []Each
	// Table is that of CSV.
	Table Table
	// Value is the one of a number or text.
	Value Signal

	Units     map[string]string
	Constants []Constant
}

// PlaceOf returns where the member of a message stands, as a JSON Pointer; "" if the
// mapping does not say it.
func (m *Mapping) PlaceOf(which Member) string {
	for _, p := range m.Document.Members {
		if p.Member == which {
			return p.Pointer.Text
		}
	}
	for name, p := range m.Table.members {
		if p.Member == which {
			return mes.Pointer(name)
		}
	}
	return ""
}

// Object says where the parts of a record stand in a JSON value.
type Object struct {
	// Members have the site first, which the zone of times depends on.
	Members []Place
	Signals []Signal
}

// Place is where a member stands.
type Place struct {
	Member  Member
	Pointer Pointer
	// Optional means that it may be missing.
	Optional bool
}

// Has tells whether the object says where the member stands.
func (o *Object) Has(m Member) bool {
	for i := range o.Members {
		if o.Members[i].Member == m {
			return true
		}
	}
	return false
}

// Each are the elements of the arrays or objects at a path.
type Each struct {
	// Path may have the level *.
	Path Pointer
	// Optional means that there may be nothing at the path.
	Optional bool
	Object
}

// Signal says where a value stands, and what it becomes.
type Signal struct {
	Name        Template
	NamePointer *Pointer
	Pointer     Pointer
	Unit        string
	UnitPointer *Pointer
	// QualityPointer is nil where the quality of the record counts.
	QualityPointer *Pointer
	Type           string
	Scale, Offset  *mes.Decimal
	Optional       bool
}

// Table says what the columns of a line are.
type Table struct {
	Separator rune
	Header    bool
	Columns   []string
	members   map[string]Place
	ignored   map[string]bool
	signals   map[string]Signal
}

// Column returns what a column of that name is: a member, a signal, or neither.
func (t *Table) Column(name string) (member *Place, signal *Signal) {
	if p, ok := t.members[name]; ok {
		return &p, nil
	}
	if t.ignored[name] || name == "" {
		return nil, nil
	}
	if s, ok := t.signals[name]; ok {
		return nil, &s
	}
	return nil, &Signal{Name: plain(name), Optional: true}
}

// Missing returns a column that the table needs and that is not among the names; "" if
// there is none.
func (t *Table) Missing(names []string) string {
	there := make(map[string]bool, len(names))
	for _, n := range names {
		there[n] = true
	}
	missing := ""
	note := func(name string, optional bool) {
		if !optional && !there[name] && (missing == "" || name < missing) {
			missing = name
		}
	}
	for name, p := range t.members {
		note(name, p.Optional)
	}
	for name, s := range t.signals {
		note(name, s.Optional)
	}
	return missing
}

// Constant is a signal that every record has.
type Constant struct {
	Name  string
	value mes.Value
	text  Template
}

// Value returns the value, with captured levels put in.
func (c Constant) Value(captures Captures) mes.Value {
	if c.value.Kind() == mes.KindString {
		return mes.String(c.text.Expand(captures, ""))
	}
	return c.value
}

// Bound is a mapping with what the topic of one message says.
type Bound struct {
	*Mapping
	Captures Captures
}

// Captures are the captured levels of a topic: {site} and pune, {line} and l2 and so on.
type Captures []string

// Template is a text with captured levels, such as {line}, and {key}.
type Template struct {
	text   string
	braces bool
}

// keyPlaceholder is the name or index of an element of a list.
const keyPlaceholder = "{key}"

func plain(text string) Template { return Template{text: text} }

func template(text string) Template {
	return Template{text, strings.Contains(text, "{")}
}

// Expand puts captured levels and the key of an element in.
func (t Template) Expand(captures Captures, key string) string {
	if !t.braces {
		return t.text
	}
	pairs := append(append(make([]string, 0, len(captures)+2), captures...), keyPlaceholder, key)
	return strings.NewReplacer(pairs...).Replace(t.text)
}

// IsEmpty tells whether there is no text.
func (t Template) IsEmpty() bool { return t.text == "" }
