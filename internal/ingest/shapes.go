package ingest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"plantgate/internal/mes"
)

// builder gathers one record and every fault of its message.
type builder struct {
	sites  *Sites
	src    Source
	raw    []byte
	rec    mes.Record
	faults []mes.FieldError
	// machinePointer is where the shape keeps the machine's id.
	machinePointer string
}

func newBuilder(sites *Sites, src Source, raw []byte) *builder {
	b := &builder{sites: sites, src: src, raw: raw, machinePointer: "/machine_id"}
	b.rec = mes.Record{
		SiteID: src.SiteID, MachineID: src.MachineID, DataType: src.DataType,
		TimeOrigin: mes.TimeReceipt, ReceivedAt: src.ReceivedAt,
		Origin: src.Origin, Payload: raw, Answerable: src.Answerable,
	}
	if b.rec.SiteID == "" {
		b.rec.SiteID = sites.Default
	}
	if b.rec.DataType == "" {
		b.rec.DataType = mes.Telemetry
	}
	if src.Retained {
		b.rec.Flags = append(b.rec.Flags, mes.FlagRetained)
	}
	return b
}

func (b *builder) fault(pointer, format string, args ...any) {
	b.faults = append(b.faults, mes.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// record finishes the message: its signals sorted and checked, or its fault.
func (b *builder) record() mes.Record {
	b.rec.SortSignals()
	for i := 1; i < len(b.rec.Signals); i++ {
		if b.rec.Signals[i].Name == b.rec.Signals[i-1].Name {
			b.fault(mes.Pointer(b.rec.Signals[i].Name), "two members flatten to the signal %q", b.rec.Signals[i].Name)
		}
	}
	if invalid := b.rec.Validate(); invalid != nil {
		b.addUnreported(invalid.Fields)
	}
	if fault := mes.Invalid(b.faults); fault != nil {
		return faulty(b.named(), b.raw, fault)
	}
	return b.rec
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

// addUnreported adds faults of members that were not already found faulty.
func (b *builder) addUnreported(fields []mes.FieldError) {
	known := make(map[string]bool, len(b.faults)+len(fields))
	for _, f := range b.faults {
		known[f.Pointer] = true
	}
	for _, f := range fields {
		if f.Pointer == "/machine_id" {
			f.Pointer = b.machinePointer
		}
		// A fault of the whole message may come from those of its members.
		if known[f.Pointer] || f.Pointer == "" && len(b.faults) > 0 {
			continue
		}
		known[f.Pointer] = true
		b.faults = append(b.faults, f)
	}
}

// flat reads contract 1: reserved members, and every other one is a signal.
func (b *builder) flat(n node) {
	b.reserved(n, b.localZone)
	for _, m := range n.members {
		if !isReserved(m.name) {
			b.signals(m.name, mes.Pointer(m.name), m.value, "")
		}
	}
}

// envelope reads contract 2: {"DataType": …, "Payload": {"MachineID", "Value", "Unit"}}.
// Without a time, the time of receipt counts.
func (b *builder) envelope(n node) {
	b.machinePointer = "/Payload/MachineID"
	dataType, _ := n.member("DataType")
	prefix := "production"
	switch {
	case dataType.kind == '"' && dataType.text == string(mes.Production):
		b.rec.DataType = mes.Production
	case dataType.kind == '"' && dataType.text == string(mes.Quality):
		b.rec.DataType, prefix = mes.Quality, "quality"
	default:
		b.fault("/DataType", "must be Production or Quality")
	}
	payload, ok := n.member("Payload")
	if !ok || payload.kind != '{' {
		b.fault("/Payload", "must be an object with MachineID and Value")
		return
	}
	b.envelopePayload(prefix, payload)
	for _, m := range n.members {
		switch m.name {
		case "DataType", "Payload":
		case "Timestamp":
			b.time("/Timestamp", m.value, b.localZone)
		default:
			b.signals(m.name, mes.Pointer(m.name), m.value, "")
		}
	}
}

func (b *builder) envelopePayload(prefix string, payload node) {
	var unit string
	if m, ok := payload.member("Unit"); ok {
		b.text("/Payload/Unit", m, &unit)
	}
	for _, m := range payload.members {
		pointer := "/Payload" + mes.Pointer(m.name)
		switch m.name {
		case "MachineID":
			b.machine(pointer, m.value)
		case "Timestamp":
			b.time(pointer, m.value, b.localZone)
		case "Unit":
		case "Value":
			b.signals(prefix+".value", pointer, m.value, unit)
		default:
			b.signals(prefix+"."+m.name, pointer, m.value, "")
		}
	}
	if v, ok := payload.member("Value"); !ok || v.kind == '{' {
		b.fault("/Payload/Value", "is required and must be a single value")
	}
}

// snapshot reads the many-variables shape of contract 3. Its time, without an
// offset in UTC, belongs to what changed.
func (b *builder) snapshot(n node) {
	b.rec.Snapshot = true
	b.reserved(n, b.utcZone)
	variables, ok := n.member("variables")
	if !ok || variables.kind != '{' {
		b.fault("/variables", "must be an object of names and values")
	}
	for _, m := range variables.members {
		b.signals(m.name, "/variables"+mes.Pointer(m.name), m.value, "")
	}
	b.others(n, "variables")
}

// singleValue reads the one-variable shape of contract 3. The signal's name is
// the last part of the node id.
func (b *builder) singleValue(n node) {
	b.reserved(n, b.utcZone)
	id, _ := n.member("node_id")
	value, ok := n.member("value")
	switch {
	case id.kind != '"' || id.text == "":
		b.fault("/node_id", "must be the text of an OPC UA node id")
	case !ok:
		b.fault("/value", "is required")
	default:
		b.signals(mes.NodeName(id.text), "/value", value, "")
	}
	b.others(n, "node_id", "value")
}

// others makes signals of the members that the shape does not know.
func (b *builder) others(n node, known ...string) {
	for _, m := range n.members {
		if !isReserved(m.name) && !slices.Contains(known, m.name) {
			b.signals(m.name, mes.Pointer(m.name), m.value, "")
		}
	}
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
func (b *builder) reserved(n node, zone func() *time.Location) {
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
func (b *builder) time(pointer string, n node, zone func() *time.Location) {
	if n.kind == 'n' || n.kind == '"' && n.text == "None" {
		return
	}
	z := zone()
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

func (b *builder) localZone() *time.Location {
	if b.src.Zone != nil {
		return b.src.Zone
	}
	z, _ := b.sites.Zone(b.rec.SiteID)
	return z
}

func (b *builder) utcZone() *time.Location {
	if b.src.Zone != nil {
		return b.src.Zone
	}
	return time.UTC
}

// signals adds the value, or, of an object, its members with dotted names.
func (b *builder) signals(name, pointer string, n node, unit string) {
	if n.kind == '{' {
		if len(name) > mes.MaxSignalNameLength {
			// Told once: in front of each of its members it would take up far more
			// than the message.
			b.fault(pointer, "the name of a signal has at most %d bytes, with those of the objects that it is in", mes.MaxSignalNameLength)
			return
		}
		for _, m := range n.members {
			b.signals(name+"."+m.name, pointer+mes.Pointer(m.name), m.value, unit)
		}
		return
	}
	v, err := n.value()
	if err != nil {
		b.fault(pointer, "%s", err.Error())
		return
	}
	b.rec.Signals = append(b.rec.Signals, mes.Signal{Name: name, Value: v, Unit: unit})
}
