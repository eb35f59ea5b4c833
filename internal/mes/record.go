package mes

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// DataType says what a record reports.
type DataType string

// The data types. Telemetry is the default.
const (
	Telemetry  DataType = "Telemetry"
	Production DataType = "Production"
	Quality    DataType = "Quality"
	Event      DataType = "Event"
	State      DataType = "State"
)

// IsKnown tells whether t is one of the data types.
func (t DataType) IsKnown() bool {
	switch t {
	case Telemetry, Production, Quality, Event, State:
		return true
	}
	return false
}

// DataTypes lists every data type.
func DataTypes() []DataType { return []DataType{Telemetry, Production, Quality, Event, State} }

// Status is what a work unit is doing. Only records that bear one change a
// state.
type Status string

// The statuses.
const (
	Running     Status = "Running"
	Idle        Status = "Idle"
	Stopped     Status = "Stopped"
	Maintenance Status = "Maintenance"
)

// IsKnown tells whether s is one of the statuses.
func (s Status) IsKnown() bool {
	switch s {
	case Running, Idle, Stopped, Maintenance:
		return true
	}
	return false
}

// Statuses lists every status.
func Statuses() []Status { return []Status{Running, Idle, Stopped, Maintenance} }

// StatusCode is an OPC UA StatusCode (OPC 10000-4, 7.39): zero is Good, the
// two highest bits tell Good (00), Uncertain (01) and Bad (10).
type StatusCode uint32

// Severity returns good, uncertain or bad.
func (c StatusCode) Severity() string {
	switch c >> 30 {
	case 0:
		return "good"
	case 1:
		return "uncertain"
	default:
		return "bad"
	}
}

// The bits of a StatusCode that tell what kind of information is in the ten lowest, what
// these are if it is of a value, and those of them by which a historian tells how it came by
// the value: raw, calculated, partial, … (OPC 10000-4, 7.39.1, and OPC 10000-11, 6.3).
const (
	statusInfoType      = 0x0C00
	statusInfoDataValue = 0x0400
	statusInfo          = 0x03FF
	statusHistorian     = 0x001F
)

// OfValue returns the code without what a historian says of its storage: a value that is
// notified, and read from history later, is the same.
func (c StatusCode) OfValue() StatusCode {
	if c&statusInfoType != statusInfoDataValue {
		return c
	}
	if c &^= statusHistorian; c&statusInfo == 0 {
		c &^= statusInfoType
	}
	return c
}

// TimeOrigin says whose clock a record's Time is of.
type TimeOrigin string

// The origins of a time, best first.
const (
	TimeSource  TimeOrigin = "source"
	TimeServer  TimeOrigin = "server"
	TimeReceipt TimeOrigin = "receipt"
)

// Flag marks something about a record that its reader should know.
type Flag string

// The flags.
const (
	// FlagAhead: the source time was ahead of the receipt, within data.max_future.
	FlagAhead Flag = "ahead"
	// FlagRepeatedHour: a local time that occurs twice was resolved to the
	// occurrence nearest to receipt.
	FlagRepeatedHour Flag = "repeated_hour"
	// FlagRetained: a retained MQTT message, which is not a new reading.
	FlagRetained Flag = "retained"
	// FlagOverflow: the OPC UA server's queue for this node lost values before this.
	FlagOverflow Flag = "overflow"
	// FlagSemanticsChanged and FlagStructureChanged: the meaning, or the type, of the OPC UA
	// node's values is another from here on (OPC 10000-4, 7.39.1).
	FlagSemanticsChanged Flag = "semantics_changed"
	FlagStructureChanged Flag = "structure_changed"
)

// Door is the protocol that a record came in by.
type Door string

// The doors.
const (
	DoorREST  Door = "rest"
	DoorMQTT  Door = "mqtt"
	DoorOPCUA Door = "opcua"
	// DoorImport is no protocol: rows of a table that was there before plantgate.
	DoorImport Door = "import"
)

// Doors lists every door.
func Doors() []Door { return []Door{DoorREST, DoorMQTT, DoorOPCUA, DoorImport} }

// Origin says where a message came from. It never enters the identity.
type Origin struct {
	Door Door
	// Connection is the configured name of an MQTT or OPC UA connection, the
	// id of the API key, or the name of the table.
	Connection string
	// Address is the topic, node id or request path; of a quarantined row its key.
	Address string
	// Format is the name of the payload format that the bytes were read by.
	Format string
	// TimeZone is the IANA name of the zone of times without an offset, where the
	// binding sets one; "" is the format's own rule. Records do not keep it,
	// quarantined messages do, to be read again by it.
	TimeZone string
}

// Signal is a named value of a work unit.
type Signal struct {
	Name  string
	Value Value
	// Unit is the unit as sent; "" if unknown.
	Unit string
}

// Record is one message of one machine at one time.
type Record struct {
	ID        ID
	SiteID    string
	MachineID string
	DataType  DataType
	// Time is the record's place in history, UTC in microseconds: the source's
	// time, else the server's, else the receipt.
	Time       time.Time
	TimeOrigin TimeOrigin
	// AltTime is the other reading of a local time in a repeated hour. It is
	// only looked at to find a duplicate, and not stored.
	AltTime time.Time
	// ServerTime is the OPC UA server's timestamp; zero where there is none.
	ServerTime time.Time
	// ReceivedAt is when plantgate had the message, strictly increasing for
	// records without a source time.
	ReceivedAt time.Time
	// Status is what the work unit is doing; "" where the record does not say.
	Status     Status
	StatusCode StatusCode
	// Sequence orders records of equal time; nil where the sender gave none.
	Sequence *int64
	// MessageID is the sender's own identity of the message; "" if none.
	MessageID string
	// Idempotency is the caller's key of the whole request; nil if none.
	Idempotency *Idempotency
	// Signals in ascending order of names, each name once.
	Signals []Signal
	// Snapshot marks a message that repeats unchanged values: those keep the
	// time at which they changed.
	Snapshot bool
	Flags    []Flag
	Origin   Origin
	// Owner is by what right the server received it; nil if it needs none. It never
	// enters the identity, and is not stored.
	Owner *Ownership
	// Payload is the message as it came: a JSON object, or any bytes where
	// Fault is set. Nil where there was none (OPC UA), where it was no JSON object, or
	// where its message is several records.
	Payload []byte
	// Fault is why the message can't be accepted. A record with a fault goes to
	// quarantine, or back to its sender if Answerable.
	Fault *Error
	// Answerable means that the sender waits for the answer to this one record
	// and gets its fault there, so that quarantine need not keep it.
	Answerable bool
	// Deliveries are those of the message, of the first of its records; nil if it needs
	// none. They are kept in the same commit, whatever becomes of the record.
	Deliveries []Delivery
	// QuarantineID is the id of the item if the message goes to quarantine, for what
	// may come again and is to be kept once; zero is a new id.
	QuarantineID ID
}

// Idempotency is an Idempotency-Key and what it was first used with. Within the
// time that keys are kept, the same key and body get the first answer again.
type Idempotency struct {
	// Key is unique for caller, key and place in the request.
	Key string
	// Body is the SHA-256 of the whole request body.
	Body [32]byte
}

// Limits of names and of one record, in bytes and counts.
const (
	MaxIDLength         = 128
	MaxSignalNameLength = 256
	MaxUnitLength       = 64
	MaxMessageIDLength  = 256
	MaxSignals          = 4096
)

// Validate returns every fault of the record at once, or nil. It does not look
// at time limits and permissions, which depend on the moment and the sender.
func (r *Record) Validate() *Error {
	var faults []FieldError
	add := func(pointer, format string, args ...any) {
		faults = append(faults, FieldError{pointer, fmt.Sprintf(format, args...)})
	}
	if err := CheckID(r.MachineID); err != nil {
		add("/machine_id", "%s", err.Error())
	}
	if r.MachineID == r.SiteID && r.SiteID != "" {
		add("/machine_id", "must not be the id of its site")
	}
	if err := CheckID(r.SiteID); err != nil {
		add("/site_id", "%s", err.Error())
	}
	if !r.DataType.IsKnown() {
		add("/data_type", "must be one of %s, not %q", join(DataTypes()), abbreviate(string(r.DataType)))
	}
	if r.Status != "" && !r.Status.IsKnown() {
		add("/status", "must be one of %s, not %q", join(Statuses()), abbreviate(string(r.Status)))
	}
	if len(r.MessageID) > MaxMessageIDLength {
		add("/message_id", "must have at most %d bytes", MaxMessageIDLength)
	}
	if hasControl(r.MessageID) {
		add("/message_id", "must have no control characters")
	}
	if len(r.Signals) > MaxSignals {
		add("", "a record has at most %d signals, not %d", MaxSignals, len(r.Signals))
	}
	if len(r.Signals) == 0 && r.Status == "" {
		add("", "a record needs a status or at least one signal")
	}
	for i := range r.Signals {
		s := &r.Signals[i]
		switch {
		case s.Name == "" || len(s.Name) > MaxSignalNameLength:
			add(Pointer(s.Name), "the name of a signal has 1 to %d bytes", MaxSignalNameLength)
		case hasControl(s.Name):
			add(Pointer(s.Name), "the name of a signal has no control characters")
		}
		switch {
		case len(s.Unit) > MaxUnitLength:
			add(Pointer(s.Name), "a unit has at most %d bytes", MaxUnitLength)
		case hasControl(s.Unit):
			add(Pointer(s.Name), "a unit has no control characters")
		}
	}
	return Invalid(faults)
}

func hasControl(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			return true
		case c >= utf8.RuneSelf:
			return strings.ContainsFunc(s[i:], unicode.IsControl)
		}
	}
	return false
}

// CheckID tells what is wrong with an equipment id, or nil. Ids have 1 to 128
// bytes of printable UTF-8 without "~", which joins site and id in addresses,
// and without "/", which would split paths and topics.
func CheckID(id string) error {
	switch {
	case isPlainID(id):
		return nil
	case id == "":
		return Errorf(CodeInvalid, "is required")
	case len(id) > MaxIDLength:
		return Errorf(CodeInvalid, "must have at most %d bytes", MaxIDLength)
	case !utf8.ValidString(id):
		return Errorf(CodeInvalid, "must be valid UTF-8")
	case strings.ContainsFunc(id, func(c rune) bool { return c == '~' || c == '/' || !unicode.IsPrint(c) }):
		return Errorf(CodeInvalid, "must be printable and have no '~' or '/'")
	case strings.TrimSpace(id) != id:
		return Errorf(CodeInvalid, "must not begin or end with a space")
	}
	return nil
}

// isPlainID tells at once of nearly all ids that nothing is wrong with them.
func isPlainID(id string) bool {
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= '~' || c == '/' {
			return false
		}
	}
	return id != "" && len(id) <= MaxIDLength
}

// SortSignals puts the signals into the order that identity and storage need.
func (r *Record) SortSignals() {
	slices.SortFunc(r.Signals, func(a, b Signal) int { return strings.Compare(a.Name, b.Name) })
}

// HasFlag tells whether the record bears the flag.
func (r *Record) HasFlag(f Flag) bool { return slices.Contains(r.Flags, f) }

// Position is a record's place in the order of its machine: source time,
// sequence (none before any), id.
type Position struct {
	Time     time.Time
	Sequence *int64
	ID       ID
}

// Position returns the record's place in the order of its machine.
func (r *Record) Position() Position { return Position{r.Time, r.Sequence, r.ID} }

// Compare orders positions: negative if p is before q.
func (p Position) Compare(q Position) int {
	if c := p.Time.Compare(q.Time); c != 0 {
		return c
	}
	switch {
	case p.Sequence == nil && q.Sequence != nil:
		return -1
	case p.Sequence != nil && q.Sequence == nil:
		return 1
	case p.Sequence != nil && *p.Sequence != *q.Sequence:
		if *p.Sequence < *q.Sequence {
			return -1
		}
		return 1
	}
	return strings.Compare(string(p.ID[:]), string(q.ID[:]))
}

// Micros cuts t to microseconds in UTC, the resolution of every stored time.
func Micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Pointer returns the JSON pointer of a member of the top-level object.
func Pointer(member string) string {
	if !strings.ContainsAny(member, "~/") {
		return "/" + member // nearly always, and much faster
	}
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(member)
}

func join[T ~string](list []T) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = string(s)
	}
	return strings.Join(parts, ", ")
}
