package sparkplug

import (
	"fmt"
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

// maxProblems is how many faults of one message are told, maxReason in how many bytes.
const (
	maxProblems = 10
	maxReason   = 2000
)

// records makes a record of each metric that is a signal. If anything can't be read, the
// message goes to quarantine as well; read again there, the rest of it is the same
// records.
func (m *maker) records(p *Payload, b *birth, problems []string) []mes.Record {
	var list []mes.Record
	for i := range p.Metrics {
		metric := &p.Metrics[i]
		found, err := m.ofMetric(p, metric, b)
		list = append(list, found...)
		if len(list) > maxMetrics {
			return []mes.Record{m.faulty(errTooMany.Error())}
		}
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	if len(problems) > 0 {
		list = append(list, m.faulty(tell(problems)))
	}
	return list
}

// tell puts problems into a text that is not much longer than one.
func tell(problems []string) string {
	why := strings.Join(problems[:min(len(problems), maxProblems)], "; ")
	if len(why) > maxReason {
		why = strings.ToValidUTF8(why[:maxReason], "") + "…"
	}
	if more := len(problems) - maxProblems; more > 0 {
		why += fmt.Sprintf("; and %d more", more)
	}
	return why
}

func (m *maker) ofMetric(p *Payload, metric *Metric, b *birth) ([]mes.Record, error) {
	if metric.Name != "" && !isSignal(metric.Name) {
		return nil, nil
	}
	d, err := b.resolve(metric)
	if err != nil || !isSignal(d.name) {
		return nil, err
	}
	if metric.multiPart {
		return nil, fmt.Errorf("the metric %q is a part of a value only, which can't be stored as a signal", d.name)
	}
	members, err := flatten(d.name, metric, d.kind, 0)
	if err != nil {
		return nil, fmt.Errorf("the metric %q: %w", d.name, err)
	}
	list := make([]mes.Record, 0, len(members))
	for i := range members {
		r, err := m.ofMember(p, &members[i], d.unit)
		if err != nil {
			return list, fmt.Errorf("the metric %q: %w", members[i].name, err)
		}
		list = append(list, r)
	}
	return list, nil
}

func (m *maker) ofMember(p *Payload, in *member, unit string) (mes.Record, error) {
	r := m.record()
	r.StatusCode = statusCode(in.metric.Quality)
	if t := firstTime(in.metric.Timestamp, p.Timestamp); !t.IsZero() {
		r.Time, r.TimeOrigin = t, mes.TimeSource
	}
	s := mes.Signal{Name: in.name, Unit: unit}
	if in.metric.Unit != "" {
		s.Unit = in.metric.Unit
	}
	if !in.metric.Null {
		if in.metric.value.kind == noValue {
			return r, fmt.Errorf("it has no value and does not say is_null")
		}
		v, err := toValue(in.metric.Type, in.metric.value)
		if err != nil {
			return r, err
		}
		s.Value = v
	}
	r.Signals = []mes.Signal{s}
	return r, nil
}

func firstTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
