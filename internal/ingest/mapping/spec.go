// Package mapping says how a payload that is none of plantgate's own shapes is to be
// read: which member of a JSON document or column of a CSV line is the machine, the
// time, a value, its unit or its quality. A Spec is what a configuration says; Compile
// checks it and makes a Mapping, which package ingest reads messages by.
package mapping

// The formats that a mapping is for. The built-in shapes need none.
const (
	// JSON is a document that JSON Pointers (RFC 6901) say the parts of.
	JSON = "json"
	// CSV is lines of values (RFC 4180), each a record.
	CSV = "csv"
	// Number is one number, true or false as text.
	Number = "number"
	// Text is one text.
	Text = "text"
)

// Formats lists the formats that need a mapping.
func Formats() []string { return []string{JSON, CSV, Number, Text} }

// IsMapped tells whether messages of the format can only be read with a mapping.
func IsMapped(format string) bool {
	switch format {
	case JSON, CSV, Number, Text:
		return true
	}
	return false
}

// The ways to write a time (time_format).
const (
	// TimeAuto is everything that docs/payloads.md lists.
	TimeAuto = "auto"
	// TimeRFC3339 is RFC 3339 with its offset.
	TimeRFC3339 = "rfc3339"
	// Numbers, or texts of numbers, since 1970.
	TimeUnix       = "unix"
	TimeUnixMillis = "unix_ms"
	TimeUnixMicros = "unix_us"
	TimeUnixNanos  = "unix_ns"
	// TimeNone means that the time of receipt counts, whatever the message says.
	TimeNone = "none"
)

// The types that a value is made to be.
const (
	TypeNumber  = "number"
	TypeText    = "text"
	TypeBoolean = "boolean"
)

// Spec is what a configuration says of the payloads of a binding.
type Spec struct {
	// Format is one of Formats, or a built-in one, which only Units and Constants are for.
	Format string
	JSON   *JSONSpec
	CSV    *CSVSpec
	// TimeFormat is one of the constants Time…; "" is TimeAuto.
	TimeFormat string
	// StatusMap turns what stands for a status into one; nil takes statuses as they are.
	StatusMap map[string]string
	// QualityMap turns what stands for a quality into good, uncertain, bad or the number of
	// an OPC UA StatusCode; nil takes these themselves.
	QualityMap map[string]string
	// Signal is the signal of a number or text; {signal} is a captured level.
	Signal string
	// Scale and Offset make value × scale + offset of a number; "" is 1 and 0.
	Scale, Offset string
	// DecimalComma means that numbers of a number or CSV payload have a comma.
	DecimalComma bool
	// Units are those of signals by name, where the message gives none.
	Units map[string]string
	// Constants are signals that every record has, where the message does not have them.
	// Texts may have captured levels, such as {line}.
	Constants map[string]any
}

// Members say where the parts of a record stand: JSON Pointers, or names of columns. ""
// is nowhere.
type Members struct {
	Machine   string `koanf:"machine"`
	Site      string `koanf:"site"`
	Time      string `koanf:"time"`
	Status    string `koanf:"status"`
	MessageID string `koanf:"message_id"`
	Sequence  string `koanf:"sequence"`
	DataType  string `koanf:"data_type"`
	// Quality is that of the record, for signals without one of their own.
	Quality string `koanf:"quality"`
	// Optional names those of the above that a message may lack.
	Optional []string `koanf:"optional"`
}

// JSONSpec maps a JSON document.
type JSONSpec struct {
	Members `koanf:",squash"`
	Signals []SignalSpec `koanf:"signals"`
	Each    []EachSpec   `koanf:"each"`
}

// EachSpec maps the elements of arrays, or the members of objects, in a document. Its
// pointers are relative to the element. What it does not say itself, the document says.
type EachSpec struct {
	// Path is the pointer of the array or object; a level of it may be *, for each
	// element of what stands there.
	Path    string `koanf:"path"`
	Members `koanf:",squash"`
	Signals []SignalSpec `koanf:"signals"`
}

// SignalSpec maps one value.
type SignalSpec struct {
	// Name is the signal's; {key} in it is the name or index of the element, {signal}
	// and the like are captured levels.
	Name string `koanf:"name"`
	// NamePointer is where the name stands, instead of Name.
	NamePointer string `koanf:"name_pointer"`
	// Pointer is where the value stands; "" in an element is the element itself.
	Pointer string `koanf:"pointer"`
	// Unit is used where UnitPointer is not given or finds nothing.
	Unit           string `koanf:"unit"`
	UnitPointer    string `koanf:"unit_pointer"`
	QualityPointer string `koanf:"quality_pointer"`
	// Type is what the value is made to be; "" keeps it.
	Type   string `koanf:"type"`
	Scale  string `koanf:"scale"`
	Offset string `koanf:"offset"`
	// Optional means that a message may lack it.
	Optional bool `koanf:"optional"`
}

// CSVSpec maps lines of values. A column that nothing is said of is a signal of its name.
type CSVSpec struct {
	// Separator is one character; "" is a comma.
	Separator string `koanf:"separator"`
	// Header means that the first line of a message names the columns.
	Header bool `koanf:"header"`
	// Columns are the names of the columns where no line of the message names them.
	Columns []string `koanf:"columns"`
	Members `koanf:",squash"`
	// Ignore are columns that are nothing.
	Ignore  []string     `koanf:"ignore"`
	Signals []ColumnSpec `koanf:"signals"`
}

// ColumnSpec maps one column.
type ColumnSpec struct {
	Column string `koanf:"column"`
	// Name is the signal's; "" is the column's.
	Name   string `koanf:"name"`
	Unit   string `koanf:"unit"`
	Type   string `koanf:"type"`
	Scale  string `koanf:"scale"`
	Offset string `koanf:"offset"`
	// Required means that a line without a value in this column is faulty.
	Required bool `koanf:"required"`
}
