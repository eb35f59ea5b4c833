package sparkplug

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// Format is the name of the format of payloads that are kept in quarantine.
const Format = ingest.FormatSparkplug

// The status codes of OPC UA for what Sparkplug says of values.
const (
	// badNoCommunication is of a machine whose node or device died.
	badNoCommunication mes.StatusCode = 0x80310000
	statusBad          mes.StatusCode = 0x80000000
	statusUncertain    mes.StatusCode = 0x40000000
	// uncertainLastUsable: what updated the value has stopped doing so.
	uncertainLastUsable mes.StatusCode = 0x40900000
)

// The values of the property Quality (6.4.13).
const (
	qualityBad   = 0
	qualityGood  = 192
	qualityStale = 500
)

// statusCode is of a value's quality. A value without one is good. Besides the three of
// the specification, those of classic OPC are known by their highest two bits of eight.
func statusCode(quality *int64) mes.StatusCode {
	switch {
	case quality == nil || *quality == qualityGood:
		return 0
	case *quality == qualityStale:
		return uncertainLastUsable
	case *quality == qualityBad || *quality > 0 && *quality < 64:
		return statusBad
	case *quality > qualityGood && *quality < 256:
		return 0
	}
	return statusUncertain
}

// maker makes records of one message.
type maker struct {
	cfg     *Config
	message Message
	siteID  string
	machine string
}

// maker returns what makes the records of a message, and an error if the machine has no
// id, or another device has it.
func (h *Host) maker(m Message) (maker, error) {
	made, err := newMaker(&h.cfg, m)
	if err != nil {
		return made, err
	}
	if owner, taken := h.owners[made.key()]; taken && owner != m.Topic.Address() {
		return made, fmt.Errorf("the machine %q is %s already: the texts node_machine and device_machine of the connection must tell them apart", made.machine, owner)
	}
	return made, nil
}

// key is the machine's among those of all sites.
func (m *maker) key() string { return m.siteID + "~" + m.machine }

// ofDevice makes records of another device of the message's node.
func (h *Host) ofDevice(m *maker, name string) *maker {
	other := m.message
	other.Topic.Device = name
	made, _ := newMaker(&h.cfg, other) // its id was good when it was heard of
	return &made
}

func newMaker(cfg *Config, m Message) (maker, error) {
	made := maker{cfg: cfg, message: m, siteID: cfg.SiteID}
	if site, ok := cfg.Sites[m.Topic.Node.Group]; ok {
		made.siteID = site
	}
	text := cfg.NodeMachine
	if m.Topic.Device != "" {
		text = cfg.DeviceMachine
	}
	id := strings.NewReplacer("{group}", m.Topic.Node.Group, "{node}", m.Topic.Node.ID, "{device}", m.Topic.Device).Replace(text)
	if err := mes.CheckID(id); err != nil {
		return made, fmt.Errorf("the machine id %.140q %w", id, err)
	}
	made.machine = id
	return made, nil
}

// record is one of the message's machine. Of those that can be stored no text came: if
// they can't be accepted after all, quarantine keeps the value.
func (m *maker) record() mes.Record {
	return mes.Record{
		SiteID: m.siteID, MachineID: m.machine, DataType: mes.Telemetry,
		TimeOrigin: mes.TimeReceipt, ReceivedAt: m.message.ReceivedAt,
		Origin: mes.Origin{
			Door: mes.DoorMQTT, Connection: m.cfg.Connection, Address: m.message.Name, Format: string(ingest.FormatDataValue),
		},
	}
}

// faulty keeps the message as it came.
func (m *maker) faulty(why string) mes.Record {
	r := m.record()
	r.Origin.Format, r.Payload = string(Format), m.message.Payload
	r.Fault = mes.Errorf(mes.CodeInvalid, "%s", why)
	return r
}

// online tells of a birth or a death, at the time of receipt: the clock of a will is that
// of its node's connect, and births and deaths must be of one clock to be in order.
func (m *maker) online(online bool) mes.Record {
	r := m.record()
	r.DataType = mes.Event
	r.Signals = []mes.Signal{{Name: mes.SignalSparkplugOnline, Value: mes.Bool(online)}}
	if !online {
		r.StatusCode = badNoCommunication
	}
	return r
}

// records makes a record of each metric that is a signal. If anything can't be read, the
// message goes to quarantine as well; read again there, the rest of it is the same
// records. What would become too much is kept there alone.
func (m *maker) records(p *Payload, b *birth, wrong problems) []mes.Record {
	made := making{
		maker: m, payload: p, wrong: wrong,
		list: make([]mes.Record, 0, len(p.Metrics)+1), signals: make([]mes.Signal, 0, len(p.Metrics)),
	}
	for i := range p.Metrics {
		if err := made.metric(&p.Metrics[i], b); err != nil {
			return []mes.Record{m.faulty(err.Error())}
		}
	}
	if made.wrong.count > 0 {
		made.list = append(made.list, m.faulty(made.wrong.text()))
	}
	if len(made.list) < cap(made.list)/2 {
		return slices.Clone(made.list) // of metrics that are none the room goes back
	}
	return made.list
}

// making is the records of one message in the making.
type making struct {
	*maker
	payload *Payload
	budget  budget
	wrong   problems
	list    []mes.Record
	// signals are those of the records, one of each.
	signals []mes.Signal
}

// metric adds the records of a metric, none if it is no signal. An error is of the whole
// message, here and in what it calls.
func (m *making) metric(metric *Metric, b *birth) error {
	if err := m.budget.metric(); err != nil {
		return err
	}
	if metric.Name != "" && !isSignal(metric.Name) {
		return nil
	}
	d, err := b.resolve(metric)
	switch {
	case err != nil:
		m.wrong.add(err)
		return nil
	case !isSignal(d.name):
		return nil
	case metric.multiPart:
		m.wrong.addf("the metric %.300q is a part of a value only, which can't be stored as a signal", d.name)
		return nil
	}
	return m.flatten(d.name, metric, d.kind, d.unit, 0)
}

// member adds the record of a metric by its whole name, with the type and the unit that
// are known of it.
func (m *making) member(name string, metric *Metric, t DataType, unit string) error {
	s, err := signalOf(name, metric, t, unit)
	if spent := m.budget.signal(&s, err); spent != nil {
		return spent
	}
	if err != nil {
		m.wrong.addf("the metric %.300q: %w", name, err)
		return nil
	}
	m.signals = append(m.signals, s)
	m.list = append(m.list, m.record())
	r := &m.list[len(m.list)-1]
	r.StatusCode = statusCode(metric.Quality)
	if t := firstTime(metric.Timestamp, m.payload.Timestamp); !t.IsZero() {
		r.Time, r.TimeOrigin = t, mes.TimeSource
	}
	n := len(m.signals)
	r.Signals = m.signals[n-1 : n : n]
	return nil
}

func signalOf(name string, metric *Metric, t DataType, unit string) (mes.Signal, error) {
	s := mes.Signal{Name: name, Unit: unit}
	if metric.Unit != "" {
		s.Unit = metric.Unit
	}
	switch {
	case len(s.Name) > mes.MaxSignalNameLength:
		return mes.Signal{}, errName
	case len(s.Unit) > mes.MaxUnitLength: // that of a birth would stand in each record of data
		return mes.Signal{}, fmt.Errorf("a unit has at most %d bytes", mes.MaxUnitLength)
	}
	if metric.Null {
		return s, nil
	}
	if metric.value.kind == noValue {
		return s, fmt.Errorf("it has no value and does not say is_null")
	}
	v, err := toValue(t, metric.value)
	s.Value = v
	return s, err
}

func firstTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
