package ingest

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mes"
)

// The formats that a binding's mapping says how to read.
const (
	FormatJSON   Format = mapping.JSON
	FormatCSV    Format = mapping.CSV
	FormatNumber Format = mapping.Number
	FormatText   Format = mapping.Text
)

// decodeMapped makes records of a message that is read by a mapping.
func (d *JSONDecoder) decodeMapped(src Source, body []byte) []mes.Record {
	src = withZoneName(src)
	switch {
	case src.Mapping == nil:
		return []mes.Record{faulty(&src, body, mes.Errorf(mes.CodeInvalid,
			"the format %s is read by the mapping of a subscription, and none of the configuration is for this message", src.Origin.Format))}
	case Format(src.Mapping.Format) == FormatCSV:
		return d.decodeCSV(&src, body)
	case Format(src.Mapping.Format) != FormatJSON:
		return d.decodeValue(&src, body)
	case isBatch(&src, body):
		return d.decodeMappedBatch(src, body)
	}
	return d.decodeMappedJSON(&src, bytes.TrimPrefix(body, utf8BOM))
}

// header is everything of a record but its signals: values with an equal header are of
// one record.
type header struct {
	site, machine, messageID string
	dataType                 mes.DataType
	status                   mes.Status
	code                     mes.StatusCode
	at, alt                  time.Time // zero is the time of receipt
	hasSequence              bool
	sequence                 int64
}

// mapped gathers the records of one message.
type mapped struct {
	sites   *Sites
	src     *Source
	mapping *mapping.Bound
	limits  Limits
	raw     []byte
	// payload is the message if it is a JSON object, which a record keeps that is all of it.
	payload []byte
	// where is put in front of the details of faults: the line of a table.
	where   string
	first   header
	headers []header
	signals map[header][]mes.Signal
	count   int
	faults  faults
}

func (d *JSONDecoder) newMapped(src *Source, raw []byte) *mapped {
	m := &mapped{sites: d.sites, src: src, mapping: src.Mapping, limits: d.limits, raw: raw, signals: map[header][]mes.Signal{}}
	m.first = header{site: src.SiteID, machine: src.MachineID, dataType: src.DataType}
	if m.first.site == "" {
		m.first.site = d.sites.Default
	}
	if m.first.dataType == "" {
		m.first.dataType = mes.Telemetry
	}
	return m
}

func (m *mapped) fault(pointer, format string, args ...any) {
	m.faults.add(pointer, m.where+fmt.Sprintf(format, args...))
}

// touch makes a record of the header, if there is none yet.
func (m *mapped) touch(h header) {
	if _, ok := m.signals[h]; !ok {
		m.signals[h] = nil
		m.headers = append(m.headers, h)
	}
}

// add gives a value to the record of its header. A value whose quality is not that of
// the header is of a record of its own, which does not bear the status.
func (m *mapped) add(h header, code mes.StatusCode, s mes.Signal) {
	if code != h.code {
		h.code, h.status = code, ""
	}
	m.touch(h)
	m.signals[h] = append(m.signals[h], s)
	m.count++
}

// records are those of the message, or the one record of its faults: a message is taken
// as a whole, so that a replay doubles nothing of it.
func (m *mapped) records() []mes.Record {
	switch {
	case len(m.headers) > m.limits.MaxBatch:
		return m.refuse(mes.Errorf(mes.CodeTooLarge, "a message has at most %d records", m.limits.MaxBatch))
	case m.count > maxBatchSignals:
		return m.refuse(mes.Errorf(mes.CodeTooLarge, "the records of a message have at most %d signals together", maxBatchSignals))
	case len(m.headers) == 0 && len(m.faults.told) == 0:
		m.touch(m.first) // which is faulty: it has nothing
	}
	records := make([]mes.Record, 0, len(m.headers))
	same := make(map[[3]string]int)
	for _, h := range m.headers {
		records = append(records, m.record(h))
		r := &records[len(records)-1]
		if r.MessageID != "" {
			id := [3]string{r.SiteID, r.MachineID, r.MessageID}
			if same[id]++; same[id] > 1 {
				r.MessageID += "#" + strconv.Itoa(same[id])
			}
		}
		m.check(r)
	}
	if fault := m.faults.err(); fault != nil {
		return m.refuse(fault)
	}
	if len(records) == 1 {
		records[0].Payload = m.payload
	}
	return records
}

// record makes a record of a header and its signals.
func (m *mapped) record(h header) mes.Record {
	r := mes.Record{
		SiteID: h.site, MachineID: h.machine, MessageID: h.messageID, DataType: h.dataType, Status: h.status, StatusCode: h.code,
		TimeOrigin: mes.TimeReceipt, ReceivedAt: m.src.ReceivedAt, Origin: m.src.Origin, Signals: m.signals[h], Answerable: m.src.Answerable,
	}
	if !h.at.IsZero() {
		r.Time, r.AltTime, r.TimeOrigin = h.at, h.alt, mes.TimeSource
	}
	if h.hasSequence {
		r.Sequence = &h.sequence
	}
	if m.src.Retained {
		r.Flags = append(r.Flags, mes.FlagRetained)
	}
	if !h.alt.IsZero() {
		r.Flags = append(r.Flags, mes.FlagRepeatedHour)
	}
	addFixed(&r, m.mapping)
	r.SortSignals()
	return r
}

// check adds the faults of a record to those of its message.
func (m *mapped) check(r *mes.Record) {
	for i := 1; i < len(r.Signals); i++ {
		if r.Signals[i].Name == r.Signals[i-1].Name && (i == 1 || r.Signals[i-2].Name != r.Signals[i].Name) {
			m.fault(mes.Pointer(r.Signals[i].Name), "the signal %q has several values at one time", r.Signals[i].Name)
		}
	}
	if invalid := r.Validate(); invalid != nil {
		m.faults.addNew(invalid.Fields, m.place, m.where)
	}
}

// place is where the mapping finds a member, of which a fault is to tell.
func (m *mapped) place(pointer string) string {
	var which mapping.Member
	switch pointer {
	case "/machine_id":
		which = mapping.Machine
	case "/site_id":
		which = mapping.Site
	case "/data_type", "/status", "/message_id":
		which = mapping.Member(pointer[1:])
	default:
		return pointer
	}
	if at := m.mapping.PlaceOf(which); at != "" {
		return at
	}
	return pointer
}

// refuse makes the whole message one record with a fault.
func (m *mapped) refuse(fault *mes.Error) []mes.Record {
	src := *m.src
	h := m.first
	if len(m.headers) > 0 {
		h = m.headers[0]
	}
	if mes.CheckID(h.site) == nil {
		src.SiteID = h.site
	}
	if mes.CheckID(h.machine) == nil {
		src.MachineID = h.machine
	}
	return []mes.Record{faulty(&src, m.raw, fault)}
}

// addFixed adds what the binding says of every message: constants, where there is a value
// or a status beside them, and units. What the message says itself comes first.
func addFixed(r *mes.Record, b *mapping.Bound) {
	if len(b.Constants) > 0 && (len(r.Signals) > 0 || r.Status != "") {
		there := make(map[string]bool, len(r.Signals))
		for i := range r.Signals {
			there[r.Signals[i].Name] = true
		}
		for _, c := range b.Constants {
			if !there[c.Name] {
				r.Signals = append(r.Signals, mes.Signal{Name: c.Name, Value: c.Value(b.Captures)})
			}
		}
	}
	if len(b.Units) == 0 {
		return
	}
	for i := range r.Signals {
		if s := &r.Signals[i]; s.Unit == "" {
			s.Unit = b.Units[s.Name]
		}
	}
}
