package sparkplug

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"plantgate/internal/mes"
)

// Config is how a host application names what it hears of.
type Config struct {
	// Connection is the name of the connection, for records.
	Connection string
	// Groups are those to listen to; none is every.
	Groups []string
	// SiteID is the site of groups that Sites does not name; "" is the default site.
	SiteID string
	Sites  map[string]string
	// NodeMachine and DeviceMachine are the ids of machines: texts with {group}, {node}
	// and {device}.
	NodeMachine, DeviceMachine string
}

// Bounds of a host.
const (
	// maxNodes bounds the edge nodes that are remembered.
	maxNodes = 10_000
	// maxNodeDevices bounds the devices of one edge node that are remembered, maxDevices
	// those of all.
	maxNodeDevices = 1000
	maxDevices     = 100_000
	// devicesAppear is how long after its own birth a node may take for those of its
	// devices (5.4.2). A device that was not born again by then is taken for gone.
	devicesAppear = 30 * time.Second
)

// Message is one publication of an edge node.
type Message struct {
	Topic      Topic
	Name       string // of the topic, as it came
	Payload    []byte
	Retained   bool
	ReceivedAt time.Time
	// Again means that the broker says that it sent the message before (DUP, with QoS 1
	// or 2): it may be older than what came since.
	Again bool
}

// Result is what a message says.
type Result struct {
	// Records are of its metrics, and of what could not be read. None is possible.
	Records []mes.Record
	// Rebirth says why the node has to be asked for its births; "" if it has not.
	Rebirth string
	// Born means that the node said its birth.
	Born bool
	// Keep are the changes of what is known of births, for when the records are stored.
	Keep mes.SparkplugChange
	// Mark is to be noted in the commit of the records, see Mark.Delivery; nil is nothing.
	Mark *Mark
	// Note says of a message without records why it has none; "" is nothing unusual.
	Note string
}

// Host knows the edge nodes of a connection. Messages must come to it in their order.
// Its methods may be called by several goroutines.
type Host struct {
	cfg Config

	mu    sync.Mutex
	nodes map[Node]*node
	// owners are the addresses that machines are of: of the nodes and devices that are
	// remembered.
	owners  map[string]string
	devices int // of all nodes
}

// node is what is known of an edge node.
type node struct {
	birth   *birth // nil while none is known
	bdSeq   *uint64
	online  bool
	seq     *uint8 // of the last message; nil if not known
	bornAt  time.Time
	devices map[string]*device
	// confirmed means that the birth came by the connection that is up.
	confirmed bool
	// unsure means that it is not known whether it was told of that the node is online.
	unsure bool
}

type device struct {
	birth  *birth // nil between the node's birth and the device's
	online bool
	// heard means that a birth or a death was heard of, unsure what it does of a node.
	heard, unsure bool
}

// NewHost returns a host that has heard of nothing.
func NewHost(cfg Config) *Host {
	return &Host{cfg: cfg, nodes: map[Node]*node{}, owners: map[string]string{}}
}

// remember makes room for the node and the device of a message that could be read, and
// takes the machine for them.
func (h *Host) remember(topic Topic, m *maker) (*node, error) {
	n, known := h.nodes[topic.Node]
	if !known {
		if len(h.nodes) >= maxNodes {
			return nil, fmt.Errorf("a connection has at most %d edge nodes", maxNodes)
		}
		n = &node{devices: map[string]*device{}}
	}
	if topic.Device != "" && n.devices[topic.Device] == nil {
		switch {
		case len(n.devices) >= maxNodeDevices:
			return nil, fmt.Errorf("an edge node has at most %d devices", maxNodeDevices)
		case h.devices >= maxDevices:
			return nil, fmt.Errorf("a connection has at most %d devices", maxDevices)
		}
		n.devices[topic.Device] = &device{}
		h.devices++
	}
	h.nodes[topic.Node] = n
	h.owners[m.key()] = topic.Address()
	return n, nil
}

// Connected takes note of a new connection. If the broker had not kept the session,
// deaths may have gone unheard, and the births of before are not trusted: aliases may
// mean something else by now.
func (h *Host) Connected(kept bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.nodes {
		n.confirmed = false
		if kept {
			continue
		}
		n.birth, n.seq = nil, nil
		for _, d := range n.devices {
			d.birth = nil
		}
	}
}

// Unconfirmed are the nodes that were online and were not born by the connection that is
// up: what they sent meanwhile is lost, and their births say how things stand.
func (h *Host) Unconfirmed() []Node {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []Node
	for name, n := range h.nodes {
		if n.online && !n.confirmed {
			list = append(list, name)
		}
	}
	slices.SortFunc(list, func(a, b Node) int { return strings.Compare(a.String(), b.String()) })
	return list
}

// Matches tells whether a topic is one of those that the host subscribes to.
func (h *Host) Matches(name string) (Topic, bool) {
	t, err := ParseTopic(name)
	if err != nil || t.Type == NCmd || t.Type == DCmd {
		return t, false
	}
	return t, len(h.cfg.Groups) == 0 || slices.Contains(h.cfg.Groups, t.Node.Group)
}

// Receive reads one message, and takes note of what it says of its node.
func (h *Host) Receive(m Message) Result {
	h.mu.Lock()
	defer h.mu.Unlock()
	maker, err := h.maker(m)
	if err != nil {
		if n, known := h.nodes[m.Topic.Node]; known {
			n.seq = nil // of this message it is not looked at
		}
		return Result{Records: []mes.Record{maker.faulty(err.Error())}}
	}
	if m.Retained {
		// Who subscribes gets it anew each time: it says nothing of now.
		return Result{Records: []mes.Record{maker.faulty("messages of Sparkplug B are not retained (MQTT 3.1.1, 3.3.1.3), or they say of a node that is gone that it is there")}}
	}
	p, err := Decode(m.Payload)
	if err != nil {
		n, known := h.nodes[m.Topic.Node]
		if !known {
			n = &node{} // of which nothing is remembered
		}
		return h.unreadable(n, &maker, err)
	}
	n, err := h.remember(m.Topic, &maker)
	if err != nil {
		return Result{Records: []mes.Record{maker.faulty(err.Error())}}
	}
	var r Result
	switch m.Topic.Type {
	case NBirth:
		r = h.nodeBirth(n, &maker, &p)
	case DBirth:
		r = h.deviceBirth(n, &maker, &p)
	case NDeath:
		r = h.nodeDeath(n, &maker, &p)
	case DDeath:
		r = h.deviceDeath(n, &maker, &p)
	default:
		r = h.data(n, &maker, &p)
	}
	h.missDevices(n, &maker, &r)
	return r
}

// unreadable is of a message that is no payload. If it was a birth, the former one does
// not count any more.
func (h *Host) unreadable(n *node, maker *maker, err error) Result {
	r := Result{Records: []mes.Record{maker.faulty(err.Error())}}
	switch maker.message.Topic.Type {
	case NBirth:
		n.birth, r.Mark = nil, maker.born()
		r.Rebirth = "its birth can't be read"
	case DBirth:
		if d := n.devices[maker.message.Topic.Device]; d != nil {
			d.birth = nil
		}
		r.Mark = maker.born()
		r.Rebirth = "a birth of its device can't be read"
	case NDeath:
		// A will that nobody can read is a will.
		r.Records = append(r.Records, h.bury(n, maker, &r)...)
	}
	n.seq = nil
	return r
}

// follow checks the sequence number of a message, and returns why the node has to be
// asked for its births: a gap means that something was lost (6.4.7).
func (n *node) follow(m *maker, p *Payload) (rebirth string) {
	if m.message.Again {
		n.seq = nil // it is no part of what comes now
		return ""
	}
	last := n.seq
	n.seq = p.Seq
	if last == nil || p.Seq == nil || *p.Seq == *last+1 {
		return ""
	}
	return fmt.Sprintf("the sequence number %d follows %d", *p.Seq, *last)
}

func (h *Host) nodeBirth(n *node, maker *maker, p *Payload) Result {
	b, wrong := define(p, maker.message.Payload)
	if r, old := maker.repeated(n, &n.birth, p, &b, wrong); old {
		return r
	}
	r := Result{Born: true, Mark: maker.born(), Keep: mes.SparkplugChange{Put: maker.birth()}}
	for _, name := range sortedNames(n.devices) {
		d := n.devices[name]
		if d.birth != nil || d.online {
			r.Keep.Drop = append(r.Keep.Drop, address(maker.message.Topic.Node, name))
		}
		d.birth = nil // until it is born again
	}
	if !n.online || n.unsure {
		r.Records = append(r.Records, maker.online(true))
	}
	n.birth, n.bdSeq, n.seq, n.online, n.unsure, n.confirmed, n.bornAt = &b, p.bdSeq(), p.Seq, true, false, true, maker.message.ReceivedAt
	r.Records = append(r.Records, maker.records(p, n.birth, wrong)...)
	return r
}

func (h *Host) deviceBirth(n *node, maker *maker, p *Payload) Result {
	b, wrong := define(p, maker.message.Payload)
	d := n.devices[maker.message.Topic.Device]
	if r, old := maker.repeated(n, &d.birth, p, &b, wrong); old {
		return r
	}
	r := Result{Rebirth: n.follow(maker, p), Mark: maker.born(), Keep: mes.SparkplugChange{Put: maker.birth()}}
	if !d.online || d.unsure {
		r.Records = append(r.Records, maker.online(true))
	}
	*d = device{birth: &b, online: true, heard: true}
	if n.birth == nil {
		r.Rebirth = "no birth of the edge node is known"
	}
	r.Records = append(r.Records, maker.records(p, d.birth, wrong)...)
	return r
}

// data are NDATA and DDATA. What is known by itself is stored whatever else is missing.
func (h *Host) data(n *node, maker *maker, p *Payload) Result {
	r := Result{Rebirth: n.follow(maker, p)}
	b, whose := n.birth, "the edge node"
	if name := maker.message.Topic.Device; name != "" {
		b, whose = n.devices[name].birth, "the device"
	}
	if maker.message.Again && b.mayFollow(p) {
		r.Records = maker.records(p, b.withoutAliases(), problems{})
		return r
	}
	r.Records = maker.records(p, b, problems{})
	switch {
	case b == nil:
		r.Rebirth = "no birth of " + whose + " is known"
	case slices.ContainsFunc(r.Records, func(r mes.Record) bool { return r.Fault != nil }):
		r.Rebirth = "a metric is not as a birth said"
	}
	return r
}

// nodeDeath ends the session that it is of. Of a former one, a death comes late when the
// broker noticed the end after the node was back (6.4.17).
func (h *Host) nodeDeath(n *node, maker *maker, p *Payload) Result {
	bdSeq := p.bdSeq()
	if n.online && bdSeq != nil && n.bdSeq != nil && *bdSeq != *n.bdSeq {
		return Result{Note: fmt.Sprintf("a death of the session %d of an edge node came in its session %d", *bdSeq, *n.bdSeq)}
	}
	if !n.online && !n.bornAt.IsZero() {
		return Result{Note: "a death of an edge node that was dead already"}
	}
	var r Result
	r.Records = h.bury(n, maker, &r)
	return r
}

// bury returns what the death of a node means for it and its devices.
func (h *Host) bury(n *node, m *maker, r *Result) []mes.Record {
	topic := m.message.Topic
	records := []mes.Record{m.online(false)}
	r.Mark = m.died()
	r.Keep.Drop = append(r.Keep.Drop, topic.Node.String())
	for _, name := range sortedNames(n.devices) {
		d := n.devices[name]
		if d.online {
			r.Keep.Drop = append(r.Keep.Drop, address(topic.Node, name))
			records = append(records, h.ofDevice(m, name).online(false))
		}
		d.birth, d.online, d.unsure = nil, false, false
	}
	n.birth, n.bdSeq, n.seq, n.online, n.unsure = nil, nil, nil, false, false
	if n.bornAt.IsZero() {
		n.bornAt = m.message.ReceivedAt
	}
	return records
}

func (h *Host) deviceDeath(n *node, maker *maker, p *Payload) Result {
	d := n.devices[maker.message.Topic.Device]
	if maker.message.Again && d.birth.mayFollow(p) {
		return Result{Note: "a death of a device from before its birth was sent again"}
	}
	r := Result{Rebirth: n.follow(maker, p)}
	if d.online || !d.heard {
		r.Records = append(r.Records, maker.online(false))
	}
	*d = device{heard: true}
	r.Mark = maker.died()
	r.Keep.Drop = []string{maker.message.Topic.Address()}
	return r
}

// missDevices tells of devices that were not born after their node was.
func (h *Host) missDevices(n *node, m *maker, r *Result) {
	if !n.online || !n.confirmed || m.message.ReceivedAt.Sub(n.bornAt) < devicesAppear {
		return
	}
	for _, name := range sortedNames(n.devices) {
		if d := n.devices[name]; d.online && d.birth == nil {
			d.online = false
			r.Records = append(r.Records, h.ofDevice(m, name).online(false))
		}
	}
}

func sortedNames(devices map[string]*device) []string {
	names := make([]string, 0, len(devices))
	for name := range devices {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
