package mqtt

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/sparkplug"
)

// Times of a host application.
const (
	// rebirthGrace is how long edge nodes may take after a connect to be born by
	// themselves, as those do for which this is the primary host.
	rebirthGrace = 5 * time.Second
	// rebirthPause is between the commands to two nodes, so that not all of a plant
	// answer at once.
	rebirthPause = 20 * time.Millisecond
	// commandTimeout bounds the wait for a publication to be sent.
	commandTimeout = 5 * time.Second
)

// sparkplugHost is what a connection does as a host application of Sparkplug B. Messages
// are read by the consumer, in their order; commands are published by a goroutine of its
// own, for nothing that messages wait for may wait for the broker.
type sparkplugHost struct {
	connection string
	hostID     string
	interval   time.Duration
	filters    []string
	host       *sparkplug.Host
	births     sparkplug.Births
	keeper     *birthKeeper // nil if births are in memory only
	log        *slog.Logger
	now        func() time.Time

	// marked is the number of the last mark of a birth, owed are deliveries that wait for the
	// next record; of the consumer alone.
	marked int64
	owed   []mes.Delivery

	// arriving is held while the session changes by which messages come.
	arriving sync.Mutex
	session  *session

	mu sync.Mutex
	// wanted are the nodes to be asked for their births, and why; asked is when they last
	// were.
	wanted map[sparkplug.Node]string
	asked  map[sparkplug.Node]time.Time
	// graceEnds is when those that were not born since the connect are asked; zero when
	// they were.
	graceEnds time.Time
	// reappear means that the broker has it that this host is not there.
	reappear bool
	wake     chan struct{}
}

// newSparkplugHost returns nil if the connection is none of Sparkplug B.
func newSparkplugHost(cfg config.MQTTConnection, deps Deps) *sparkplugHost {
	s := cfg.Sparkplug
	if !s.Enabled {
		return nil
	}
	h := &sparkplugHost{
		connection: cfg.Name, hostID: s.HostID, interval: s.RebirthInterval,
		filters: sparkplug.Filters(s.Groups),
		host:    sparkplug.NewHost(SparkplugConfig(cfg)),
		births:  deps.Births,
		log:     deps.Log.With("door", mes.DoorMQTT, "connection", cfg.Name),
		now:     deps.Now,
		wanted:  map[sparkplug.Node]string{}, asked: map[sparkplug.Node]time.Time{},
		wake: make(chan struct{}, 1),
	}
	if deps.Births != nil {
		h.keeper = newBirthKeeper(cfg.Name, deps.Births, h.log)
	}
	return h
}

// SparkplugConfig is how a connection names what it hears of.
func SparkplugConfig(cfg config.MQTTConnection) sparkplug.Config {
	s := cfg.Sparkplug
	return sparkplug.Config{
		Connection: cfg.Name, Groups: s.Groups, SiteID: s.SiteID, Sites: s.Sites,
		NodeMachine: s.NodeMachine, DeviceMachine: s.DeviceMachine,
	}
}

// recall reads the births that were kept, and what was noted of them. While the store is
// away it goes without: nodes are asked for their births when they are needed.
func (h *sparkplugHost) recall(ctx context.Context, kept Deliveries) error {
	if h.births == nil {
		return nil
	}
	births, err := h.births.SparkplugBirths(ctx, h.connection)
	if errors.Is(err, mes.ErrStoreAway) {
		h.log.Warn("births of Sparkplug that were kept are not known while the store is away; nodes are asked for them", "error", err, "cause", errors.Unwrap(err))
		return nil
	}
	var marks []mes.Delivery
	if err == nil && kept != nil {
		marks, err = kept.ConnectionDeliveries(ctx, h.connection)
	}
	if err != nil {
		return err
	}
	for _, d := range marks {
		if sparkplug.IsMark(d.Name) {
			h.marked = max(h.marked, d.Number)
		}
	}
	unread, dead := h.host.Load(births, marks)
	if len(unread) > 0 {
		h.log.Warn("births of Sparkplug that were kept can't be read", "addresses", unread)
	}
	h.keeper.change(mes.SparkplugChange{Drop: dead})
	return nil
}

// subscriptions are its filters: with QoS 1, which wills have.
func (h *sparkplugHost) subscriptions() []filter {
	list := []filter{{name: sparkplug.StateTopic(h.hostID), qos: 1}}
	for _, name := range h.filters {
		list = append(list, filter{name: name, qos: 1})
	}
	return list
}

// withoutDot begins the topics of Sparkplug B as RabbitMQ gives them on that turns the dot
// into a slash: all of them, unless mqtt.sparkplug is set, and retained ones in any case
// (3.10).
const withoutDot = "spBv1/0/"

// matches tells whether a topic is the host's.
func (h *sparkplugHost) matches(name string) bool {
	if h == nil {
		return false
	}
	_, ok := h.host.Matches(name)
	return ok || name == sparkplug.StateTopic(h.hostID) || strings.HasPrefix(name, withoutDot)
}

// read makes records of a message whose topic matches.
func (h *sparkplugHost) read(d *delivery) []mes.Record {
	m := d.Message
	topic, ok := h.host.Matches(m.Topic)
	switch rest, changed := strings.CutPrefix(m.Topic, withoutDot); {
	case m.Topic == sparkplug.StateTopic(h.hostID), changed && sparkplug.Namespace+"/"+rest == sparkplug.StateTopic(h.hostID):
		h.ownState(m.Payload)
		return nil
	case !ok:
		b := Bindings{connection: h.connection}
		return b.faulty(ingest.Source{}, m, mes.Errorf(mes.CodeInvalid,
			"the broker has turned the dot of spBv1.0 into a slash: RabbitMQ needs mqtt.sparkplug = true"))
	}
	r := h.host.Receive(sparkplug.Message{
		Topic: topic, Name: m.Topic, Payload: m.Payload, Retained: m.Retained, ReceivedAt: m.ReceivedAt,
		Again: d.dup && d.comesAgain(),
	})
	if r.Note != "" {
		h.log.Info("a Sparkplug message changes nothing", "topic", m.Topic, "reason", r.Note)
	}
	d.births, d.mark = r.Keep, r.Mark
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case r.Rebirth != "":
		h.wanted[topic.Node] = r.Rebirth
		signal(h.wake)
	case r.Born:
		delete(h.wanted, topic.Node)
	}
	return r.Records
}

// ownState looks at what the broker says of this host: a will of a session that ended may
// come after the next one has begun.
func (h *sparkplugHost) ownState(payload []byte) {
	if !sparkplug.IsOffline(payload) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reappear = true
	signal(h.wake)
}

// note adds to the records of a message what is to be noted in their commit: which birth
// counts, and what of a message without records is owed.
func (h *sparkplugHost) note(d *delivery) {
	if h == nil || h.keeper == nil {
		return
	}
	if d.mark != nil {
		h.marked = max(h.marked+1, h.now().UnixMicro())
		h.owed = append(h.owed, d.mark.Delivery(h.connection, h.marked))
	}
	if len(d.records) > 0 && len(h.owed) > 0 {
		d.records[0].Deliveries = append(d.records[0].Deliveries, h.owed...)
		h.owed = nil
	}
}

// owe keeps the deliveries of a message without records for the next that has some.
func (h *sparkplugHost) owe(list []mes.Delivery) {
	if h.keeper != nil {
		h.owed = append(h.owed, list...)
	}
}

// stored keeps what a message changes of births, once its records are committed.
func (h *sparkplugHost) stored(d *delivery) {
	if h != nil && h.keeper != nil {
		h.keeper.change(d.births)
	}
}

// arrive takes note of the session by which messages come from here on. Messages of an
// earlier one may wait for long, and are read by what was known then.
func (h *sparkplugHost) arrive(s *session) {
	if h == nil {
		return
	}
	h.arriving.Lock()
	defer h.arriving.Unlock()
	if s != h.session {
		h.session = s
		h.host.Connected(s.wasKept())
	}
}

// connected takes note of a new session: after a grace, nodes that were not born since are
// asked.
func (h *sparkplugHost) connected() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.graceEnds = time.Now().Add(rebirthGrace)
	signal(h.wake)
}

// presence says by the state of the host whether the session is up.
func (h *sparkplugHost) presence() *Presence {
	at := h.now()
	say := func(online bool, at time.Time) Publication {
		return Publication{Topic: sparkplug.StateTopic(h.hostID), Payload: sparkplug.State(online, at), QoS: 1, Retained: true}
	}
	return &Presence{
		Birth: say(true, at), Death: say(false, at),
		Farewell: func() Publication { return say(false, h.now()) },
	}
}

// run publishes what the host has to say until ctx ends.
func (h *sparkplugHost) run(ctx context.Context, a *Adapter) {
	const often = 250 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		case <-tick.C:
		}
		s := a.current.get()
		if s == nil {
			continue
		}
		h.showUp(ctx, s)
		if a.queue.isEmpty() {
			h.arrive(s) // nothing has come by it yet
		}
		for _, n := range h.due(s) {
			h.command(ctx, s, n)
			if !sleep(ctx, rebirthPause) {
				return
			}
		}
	}
}

// showUp says once more that the host is there.
func (h *sparkplugHost) showUp(ctx context.Context, s *session) {
	h.mu.Lock()
	reappear := h.reappear
	h.reappear = false
	h.mu.Unlock()
	if reappear && s.phase.Load() != phaseStopping {
		s.appear(ctx)
	}
}

// due are the nodes that may be asked now: none more often than in the interval.
func (h *sparkplugHost) due(s *session) []sparkplug.Node {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.graceEnds.IsZero() && now.After(h.graceEnds) && h.hasArrived(s) {
		h.graceEnds = time.Time{}
		for _, n := range h.host.Unconfirmed() {
			h.wanted[n] = "it was not born since the connect"
		}
	}
	var list []sparkplug.Node
	for n := range h.wanted {
		if last, before := h.asked[n]; !before || now.Sub(last) >= h.interval {
			list = append(list, n)
		}
	}
	return list
}

func (h *sparkplugHost) hasArrived(s *session) bool {
	h.arriving.Lock()
	defer h.arriving.Unlock()
	return h.session == s
}

// command asks a node for its births. One that does not answer is asked again when it
// sends something that can't be understood without.
func (h *sparkplugHost) command(ctx context.Context, s *session, n sparkplug.Node) {
	h.mu.Lock()
	reason, wanted := h.wanted[n]
	h.mu.Unlock()
	if !wanted {
		return // it was born meanwhile
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	err := s.publish(ctx, Publication{Topic: sparkplug.CommandTopic(n), Payload: sparkplug.RebirthCommand(h.now())})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked[n] = time.Now()
	if err != nil {
		h.log.Warn("a Sparkplug node can't be asked for its births", "node", n.String(), "error", err)
		return
	}
	delete(h.wanted, n)
	h.log.Info("a Sparkplug node is asked for its births", "node", n.String(), "reason", reason)
}
