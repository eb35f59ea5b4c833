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
	// birthTimeout bounds the wait for a birth to be kept, birthRetry is how long after a
	// failure none is tried.
	birthTimeout = 5 * time.Second
	birthRetry   = 30 * time.Second
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
	log        *slog.Logger
	now        func() time.Time

	// unkept are changes of births that the store would not take, of the consumer alone.
	unkept     []mes.SparkplugChange
	retryAt    time.Time
	birthRetry time.Duration

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
	return &sparkplugHost{
		connection: cfg.Name, hostID: s.HostID, interval: s.RebirthInterval,
		filters: sparkplug.Filters(s.Groups),
		host:    sparkplug.NewHost(SparkplugConfig(cfg)),
		births:  deps.Births,
		log:     deps.Log.With("door", mes.DoorMQTT, "connection", cfg.Name),
		now:     deps.Now,
		wanted:  map[sparkplug.Node]string{}, asked: map[sparkplug.Node]time.Time{},
		wake: make(chan struct{}, 1), birthRetry: birthRetry,
	}
}

// SparkplugConfig is how a connection names what it hears of.
func SparkplugConfig(cfg config.MQTTConnection) sparkplug.Config {
	s := cfg.Sparkplug
	return sparkplug.Config{
		Connection: cfg.Name, Groups: s.Groups, SiteID: s.SiteID, Sites: s.Sites,
		NodeMachine: s.NodeMachine, DeviceMachine: s.DeviceMachine,
	}
}

// recall reads the births that were kept.
func (h *sparkplugHost) recall(ctx context.Context) error {
	if h.births == nil {
		return nil
	}
	births, err := h.births.SparkplugBirths(ctx, h.connection)
	if err != nil {
		return err
	}
	if unread := h.host.Load(births); len(unread) > 0 {
		h.log.Warn("births of Sparkplug that were kept can't be read", "addresses", unread)
	}
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
func (h *sparkplugHost) read(m Message) []mes.Record {
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
	})
	if r.Note != "" {
		h.log.Info("a Sparkplug message changes nothing", "topic", m.Topic, "reason", r.Note)
	}
	h.keep(r.Keep)
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

// keep changes what is known of births after a restart, before the message counts. If the
// store is away, data go on to be read by what is in memory, and it is tried again later;
// after a restart nodes are asked for their births anyway.
func (h *sparkplugHost) keep(change mes.SparkplugChange) {
	if h.births == nil || change.IsEmpty() && len(h.unkept) == 0 {
		return
	}
	if !change.IsEmpty() {
		h.unkept = append(h.unkept, change)
	}
	if time.Now().Before(h.retryAt) {
		h.unkept = h.unkept[max(0, len(h.unkept)-maxUnkept):]
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), birthTimeout)
	defer cancel()
	for len(h.unkept) > 0 {
		if err := h.births.ChangeSparkplugBirths(ctx, h.connection, h.unkept[0]); err != nil {
			h.retryAt = time.Now().Add(h.birthRetry)
			h.log.Warn("keeping a birth of Sparkplug failed", "error", err, "cause", errors.Unwrap(err))
			return
		}
		h.unkept = h.unkept[1:]
	}
	h.unkept = nil
}

// maxUnkept bounds the changes that wait for the store.
const maxUnkept = 1000

// connected takes note of a new session, before anything comes by it but what the broker
// had kept.
func (h *sparkplugHost) connected(kept bool) {
	if h == nil {
		return
	}
	h.host.Connected(kept)
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
		for _, n := range h.due() {
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
func (h *sparkplugHost) due() []sparkplug.Node {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.graceEnds.IsZero() && now.After(h.graceEnds) {
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
