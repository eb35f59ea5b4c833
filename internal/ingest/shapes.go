package ingest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"plantgate/internal/mes"
)

// builder makes a record of a message, and gathers every fault of it.
type builder struct {
	sites  *Sites
	src    Source
	raw    []byte
	rec    *mes.Record
	faults faults
	// expected is about how many signals there are.
	expected int
	// machinePointer is where the shape keeps the machine's id.
	machinePointer string
}

// start sets what the door knew.
func (b *builder) start() {
	b.machinePointer, b.faults.whole = "/machine_id", true
	*b.rec = mes.Record{
		SiteID: b.src.SiteID, MachineID: b.src.MachineID, DataType: b.src.DataType,
		TimeOrigin: mes.TimeReceipt, ReceivedAt: b.src.ReceivedAt,
		Origin: b.src.Origin, Payload: b.raw, Answerable: b.src.Answerable,
	}
	if b.rec.SiteID == "" {
		b.rec.SiteID = b.sites.Default
	}
	if b.rec.DataType == "" {
		b.rec.DataType = mes.Telemetry
	}
	if b.src.Retained {
		b.rec.Flags = append(b.rec.Flags, mes.FlagRetained)
	}
}

// place is an object in the message. Its pointer is only written for a fault.
type place struct {
	in   *place // nil is the message itself
	name string
}

func (p *place) pointer() string {
	if p == nil {
		return ""
	}
	return p.in.pointer() + mes.Pointer(p.name)
}

func (b *builder) fault(pointer, format string, args ...any) {
	b.faults.add(pointer, fmt.Sprintf(format, args...))
}

// finish makes the record whole: its signals sorted and checked, or its fault.
func (b *builder) finish() {
	if b.src.Mapping != nil {
		addFixed(b.rec, b.src.Mapping)
	}
	b.rec.SortSignals()
	for i := 1; i < len(b.rec.Signals); i++ {
		if b.rec.Signals[i].Name == b.rec.Signals[i-1].Name {
			b.fault(mes.Pointer(b.rec.Signals[i].Name), "two members flatten to the signal %q", b.rec.Signals[i].Name)
		}
	}
	if invalid := b.rec.Validate(); invalid != nil {
		b.faults.addNew(invalid.Fields, b.pointerOf, "")
	}
	if fault := b.faults.err(); fault != nil {
		src := b.named()
		*b.rec = faulty(&src, b.raw, fault)
	}
}

// named is the source with the site and the machine that a faulty message names,
// so that quarantine shows it to those who may see these.
func (b *builder) named() Source {
	src := b.src
	if mes.CheckID(b.rec.SiteID) == nil {
		src.SiteID = b.rec.SiteID
	}
	if mes.CheckID(b.rec.MachineID) == nil {
		src.MachineID = b.rec.MachineID
	}
	return src
}

// pointerOf is where the shape keeps a member of a record.
func (b *builder) pointerOf(pointer string) string {
	if pointer == "/machine_id" {
		return b.machinePointer
	}
	return pointer
}

// flat reads contract 1: reserved members, and every other one is a signal.
func (b *builder) flat(n node) {
	b.reserved(n, localTime)
	b.expected = countSignals(n)
	b.others(n)
}

// envelope reads contract 2: {"DataType": …, "Payload": {"MachineID", "Value", "Unit"}}.
// Without a time, the time of receipt counts.
func (b *builder) envelope(n node) {
	b.machinePointer = "/Payload/MachineID"
	dataType, _ := n.member("DataType")
	switch {
	case dataType.kind == '"' && dataType.text == string(mes.Production):
		b.rec.DataType = mes.Production
	case dataType.kind == '"' && dataType.text == string(mes.Quality):
		b.rec.DataType = mes.Quality
	default:
		b.fault("/DataType", "must be Production or Quality")
	}
	payload, ok := n.member("Payload")
	if !ok || payload.kind != '{' {
		b.fault("/Payload", "must be an object with MachineID and Value")
		return
	}
	b.envelopePayload(&place{name: "Payload"}, payload)
	for _, m := range n.members {
		switch m.name {
		case "DataType", "Payload":
		case "Timestamp":
			b.time("/Timestamp", m.value, localTime)
		default:
			b.signals(m.name, nil, m.name, m.value, "")
		}
	}
}

// payload reads what stands in the Payload of an envelope, which came without it.
func (b *builder) payload(n node) {
	b.machinePointer = "/MachineID"
	b.envelopePayload(nil, n)
}

// envelopePayload reads the Payload. Its signals are named after the data type:
// production.value.
func (b *builder) envelopePayload(in *place, payload node) {
	prefix := "production."
	if b.rec.DataType == mes.Quality {
		prefix = "quality."
	}
	var unit string
	if m, ok := payload.member("Unit"); ok {
		b.text(in.pointer()+"/Unit", m, &unit)
	}
	for _, m := range payload.members {
		switch m.name {
		case "MachineID":
			b.machine(b.machinePointer, m.value)
		case "Timestamp":
			b.time(in.pointer()+"/Timestamp", m.value, localTime)
		case "Unit":
		case "Value":
			b.signals(prefix+"value", in, m.name, m.value, unit)
		default:
			b.signals(prefix+m.name, in, m.name, m.value, "")
		}
	}
	if v, ok := payload.member("Value"); !ok || v.kind == '{' {
		b.fault(in.pointer()+"/Value", "is required and must be a single value")
	}
}

// snapshot reads the many-variables shape of contract 3. Its time, without an
// offset in UTC, belongs to what changed.
func (b *builder) snapshot(n node) {
	b.rec.Snapshot = true
	b.reserved(n, utcTime)
	variables, ok := n.member("variables")
	if !ok || variables.kind != '{' {
		b.fault("/variables", "must be an object of names and values")
	}
	in := &place{name: "variables"}
	b.expected = len(variables.members)
	for _, m := range variables.members {
		b.signals(m.name, in, m.name, m.value, "")
	}
	b.others(n, "variables")
}

// singleValue reads the one-variable shape of contract 3. The signal's name is
// the last part of the node id.
func (b *builder) singleValue(n node) {
	b.reserved(n, utcTime)
	id, _ := n.member("node_id")
	value, ok := n.member("value")
	switch {
	case id.kind != '"' || id.text == "":
		b.fault("/node_id", "must be the text of an OPC UA node id")
	case !ok:
		b.fault("/value", "is required")
	default:
		b.signals(mes.NodeName(id.text), nil, "value", value, "")
	}
	b.others(n, "node_id", "value")
}

// others makes signals of the members that the shape does not know.
func (b *builder) others(n node, known ...string) {
	for _, m := range n.members {
		if !isReserved(m.name) && !slices.Contains(known, m.name) {
			b.signals(m.name, nil, m.name, m.value, "")
		}
	}
}

// countSignals is how many members are signals, those of objects not counted.
func countSignals(n node) int {
	count := 0
	for i := range n.members {
		if !isReserved(n.members[i].name) {
			count++
		}
	}
	return count
}

func isReserved(name string) bool {
	switch name {
	case "machine_id", "site_id", "timestamp", "status", "message_id", "sequence", "data_type":
		return true
	}
	return false
}

// reserved reads the members that are not signals. The site comes first: the
// zone of the time depends on it.
func (b *builder) reserved(n node, zone zoneRule) {
	if m, ok := n.member("site_id"); ok {
		b.text("/site_id", m, &b.rec.SiteID)
	}
	if m, ok := n.member("machine_id"); ok {
		b.machine("/machine_id", m)
	}
	if m, ok := n.member("timestamp"); ok {
		b.time("/timestamp", m, zone)
	}
	if m, ok := n.member("message_id"); ok {
		b.text("/message_id", m, &b.rec.MessageID)
	}
	if m, ok := n.member("status"); ok {
		b.text("/status", m, (*string)(&b.rec.Status))
	}
	if m, ok := n.member("data_type"); ok {
		b.text("/data_type", m, (*string)(&b.rec.DataType))
	}
	if m, ok := n.member("sequence"); ok {
		b.sequence("/sequence", m)
	}
}

// text reads a reserved member that is a text; null is as if it were missing.
func (b *builder) text(pointer string, n node, to *string) {
	switch {
	case n.kind == 'n':
	case n.kind != '"':
		b.fault(pointer, "must be a string, not %s", n.kindName())
	case n.text == "":
		b.fault(pointer, "must not be empty")
	default:
		*to = n.text
	}
}

// machine reads a machine id; site~id addresses a machine of another site.
func (b *builder) machine(pointer string, n node) {
	b.text(pointer, n, &b.rec.MachineID)
	if n.kind != '"' {
		return
	}
	if site, id, ok := strings.Cut(n.text, "~"); ok {
		b.rec.SiteID, b.rec.MachineID = site, id
	}
}

func (b *builder) sequence(pointer string, n node) {
	if n.kind == 'n' {
		return
	}
	v, err := mes.Number(n.text)
	if n.kind != '0' || err != nil {
		b.fault(pointer, "must be a whole number of 64 bits")
		return
	}
	i, err := strconv.ParseInt(v.Text(), 10, 64)
	if err != nil {
		b.fault(pointer, "must be a whole number of 64 bits")
		return
	}
	b.rec.Sequence = &i
}

// time reads the source time. Null and the text None mean that there is none.
func (b *builder) time(pointer string, n node, rule zoneRule) {
	if n.kind == 'n' || n.kind == '"' && n.text == "None" {
		return
	}
	z := b.zone(rule)
	if z == nil {
		b.fault("/site_id", "unknown site %q", b.rec.SiteID)
		return
	}
	t, err := parseTimestamp(n, z, b.src.ReceivedAt)
	if err != nil {
		b.fault(pointer, "%s", err.Error())
		return
	}
	b.rec.Time, b.rec.AltTime, b.rec.TimeOrigin = t.time, t.alt, mes.TimeSource
	if !t.alt.IsZero() {
		b.rec.Flags = append(b.rec.Flags, mes.FlagRepeatedHour)
	}
}

// zoneRule says what zone times without an offset are of, where the binding does
// not say it.
type zoneRule bool

const (
	localTime zoneRule = false // that of the site
	utcTime   zoneRule = true
)

// zone returns nil if there is no such site.
func (b *builder) zone(rule zoneRule) *time.Location {
	switch {
	case b.src.Zone != nil:
		return b.src.Zone
	case rule == utcTime:
		return time.UTC
	}
	z, _ := b.sites.Zone(b.rec.SiteID)
	return z
}

// signals adds the value of a member, or, of an object, its members with dotted
// names.
func (b *builder) signals(name string, in *place, member string, n node, unit string) {
	if n.kind == '{' {
		b.nested(name, &place{in, member}, n, unit)
		return
	}
	v, err := n.value()
	if err != nil {
		b.fault((&place{in, member}).pointer(), "%s", err.Error())
		return
	}
	if b.rec.Signals == nil {
		b.rec.Signals = make([]mes.Signal, 0, b.expected)
	}
	b.rec.Signals = append(b.rec.Signals, mes.Signal{Name: name, Value: v, Unit: unit})
}

func (b *builder) nested(name string, in *place, n node, unit string) {
	if len(name) > mes.MaxSignalNameLength {
		// Told once: in front of each of its members it would take up far more
		// than the message.
		b.fault(in.pointer(), "the name of a signal has at most %d bytes, with those of the objects that it is in", mes.MaxSignalNameLength)
		return
	}
	for _, m := range n.members {
		b.signals(name+"."+m.name, in, m.name, m.value, unit)
	}
}
