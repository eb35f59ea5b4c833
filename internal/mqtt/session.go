package mqtt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// Times of a session.
const (
	// disconnectQuiesce is how long DISCONNECT may take to be written.
	disconnectQuiesce = time.Second
	// confirmTimeout bounds the wait of a stop for the broker.
	confirmTimeout = 2 * time.Second
	// answerTimeout bounds the wait for SUBACK and UNSUBACK.
	answerTimeout = 10 * time.Second
	// refusedPause is the longest pause before a refused filter is tried again.
	refusedPause = time.Minute
)

// refusedQoS is the return code of SUBACK for a failure (MQTT 3.1.1, 3.9.3).
const refusedQoS = 0x80

var (
	errNoRoom  = errors.New("no room for further messages")
	errRefused = errors.New("the broker refuses the connection")
)

// The phases of a session.
const (
	phaseOpen int32 = iota
	phaseFull
	phaseStopping
)

// session is one connection to the broker, from CONNECT to its end.
type session struct {
	a      *Adapter
	client paho.Client
	// wait is how long the handler may wait for room: half of the time that an
	// answer to a ping may take, for the client reads nothing meanwhile.
	wait time.Duration
	// phase tells whether messages are still taken; closing is closed once
	// they are not.
	phase   atomic.Int32
	closing chan struct{}
	full    chan struct{}
	lost    chan error
	stale   chan string
	// ended is closed when nothing more comes from the broker.
	ended    chan struct{}
	presence *Presence
	// kept tells whether the broker had kept the session since the last connection; it is
	// known once answered is closed.
	kept     bool
	answered chan struct{}
	// tidied tells when a stale topic was last unsubscribed.
	tidied map[string]time.Time
}

// runSession connects, subscribes and serves until the connection ends or ctx
// does. It tells whether the connection was ever up, and why it ended.
func (a *Adapter) runSession(ctx context.Context, again bool) (up bool, err error) {
	a.condition.set(mes.AdapterConnecting, a.condition.snapshot().Detail)
	creds, err := readCredentials(a.cfg)
	if err != nil {
		return false, err
	}
	s := &session{
		a:       a,
		closing: make(chan struct{}),
		full:    make(chan struct{}, 1),
		lost:    make(chan error, 1),
		stale:   make(chan string, 16),
		ended:   make(chan struct{}),

		answered: make(chan struct{}),
		tidied:   make(map[string]time.Time),

		presence: a.presence(),
	}
	defer close(s.ended)
	if err := s.connect(ctx, creds); err != nil {
		return false, err
	}
	a.condition.established(again)
	a.sparkplug.connected()
	a.log.Info("MQTT connected", "broker", a.url.Redacted(), "session_kept", s.kept)
	if again && !s.kept {
		a.condition.sessionLost()
		a.log.Warn("the MQTT broker has lost the session, and with it what it kept since the last connection")
	}
	return true, s.serve(ctx)
}

// connect returns after CONNACK. Messages of a kept session may come from then
// on, before any subscription, so the handler is the client's default one.
func (s *session) connect(ctx context.Context, creds credentials) error {
	pingTimeout := min(max(s.a.cfg.KeepAlive/2, time.Second), 10*time.Second)
	s.wait = pingTimeout / 2
	release := func() bool { return true }
	asked := noteRequest(creds.tls)
	var opened heardConn // what was seen of the network, which the client does not tell
	opts := paho.NewClientOptions().
		AddBroker(s.a.url.String()).
		SetProtocolVersion(4).
		SetClientID(s.a.cfg.ClientID).
		SetCleanSession(false).
		SetUsername(creds.username).
		SetPassword(creds.password).
		SetKeepAlive(s.a.cfg.KeepAlive).
		SetPingTimeout(pingTimeout).
		SetConnectTimeout(connectTimeout).
		SetWriteTimeout(pingTimeout).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(true).
		SetAutoAckDisabled(true).
		SetDefaultPublishHandler(s.receive).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost <- err }).
		SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
			conn, err := dial(ctx, u, creds.tls)
			if err != nil {
				opened.err = err
				return nil, err
			}
			release = context.AfterFunc(ctx, func() { _ = conn.Close() })
			opened.Conn = conn
			return &checkedConn{Conn: &opened}, nil
		})
	s.leaveWill(opts)
	s.client = paho.NewClient(opts)
	token := s.client.Connect()
	<-token.Done() // dial and connect timeout bound it, and ctx does
	release()
	s.kept = token.(*paho.ConnectToken).SessionPresent()
	close(s.answered)
	return connectError(s.a.cfg, token.(*paho.ConnectToken), opened.fault(), asked.Load())
}

// wasKept waits for what is known of a session of which a message came.
func (s *session) wasKept() bool {
	<-s.answered
	return s.kept
}

// isOver tells whether nothing reaches the broker any more.
func (s *session) isOver() bool {
	select {
	case <-s.ended:
		return true
	default:
		return !s.client.IsConnectionOpen()
	}
}

// connectError puts the failure of a connect into words for an operator; seen is what the
// network connection said, nil if that was nothing, and asked tells whether the broker
// asked for a client certificate.
func connectError(cfg config.MQTTConnection, token *paho.ConnectToken, seen error, asked bool) error {
	err := token.Error()
	if err == nil {
		return nil
	}
	switch token.ReturnCode() {
	case packets.ErrRefusedBadUsernameOrPassword, packets.ErrRefusedNotAuthorised:
		return mes.Errorf(mes.CodeUnauthenticated, "%w: user name, password or permission", errRefused)
	case packets.ErrRefusedIDRejected:
		return mes.Errorf(mes.CodeInvalid, "%w: client_id", errRefused)
	case packets.ErrRefusedBadProtocolVersion:
		return mes.Errorf(mes.CodeUnsupported, "%w: it does not speak MQTT 3.1.1", errRefused)
	}
	if seen == nil {
		seen = err
	}
	return failure(cfg, seen, asked)
}

// serve handles what happens to the connection until it ends.
func (s *session) serve(ctx context.Context) error {
	refused := s.subscribe(ctx, s.a.filters())
	s.appear(ctx)
	s.a.current.set(s)
	defer s.a.current.set(nil)
	s.a.connected()
	pause := newBackOff(refusedPause)
	retry := time.NewTimer(pause.NextBackOff())
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			s.close(phaseStopping)
			s.a.condition.set(mes.AdapterStopped, "no more messages are taken; those in hand are being stored")
			s.a.drain() // while the connection is up, so that acknowledgements go out
			s.disappear()
			s.confirm()
			s.client.Disconnect(uint(disconnectQuiesce.Milliseconds()))
			return nil
		case err := <-s.lost:
			return mes.Wrap(mes.CodeUnavailable, err, "the connection to the broker was lost")
		case <-s.full:
			// The broker keeps the rest: to read on without taking would mean to
			// drop, and not to read would miss the answers to pings. The kept
			// session delivers again what was not acknowledged.
			s.client.Disconnect(uint(disconnectQuiesce.Milliseconds()))
			return errNoRoom
		case <-retry.C:
			if len(refused) > 0 {
				refused = s.subscribe(ctx, refused)
				retry.Reset(pause.NextBackOff())
			}
		case name := <-s.stale:
			s.tidy(ctx, name)
		}
	}
}

// confirm waits until the broker has read the acknowledgements: it handles what
// a client sends in order, so its answer to a later packet proves it. Without
// that, what is still in its buffer can be lost with the connection, and the
// messages would come again.
func (s *session) confirm() {
	s.client.Unsubscribe("plantgate/nothing").WaitTimeout(confirmTimeout)
}

// close makes the handler take no more messages, and tells whether it was the
// first to do so.
func (s *session) close(phase int32) bool {
	if !s.phase.CompareAndSwap(phaseOpen, phase) {
		return false
	}
	close(s.closing)
	return true
}

// receive is the client's handler. It only hands over, and never waits longer
// than a ping may.
func (s *session) receive(_ paho.Client, m paho.Message) {
	now := s.a.now()
	d := delivery{
		Message: Message{Topic: m.Topic(), Payload: m.Payload(), Retained: m.Retained(), ReceivedAt: now},
		qos:     m.Qos(), dup: m.Duplicate(), session: s, ack: m.Ack,
		binding: s.a.bindings.index(m.Topic()),
	}
	if !s.handOver(d) {
		return
	}
	s.a.condition.flow.received(d.binding, now)
	if !s.a.sparkplug.matches(d.Topic) && d.binding < 0 {
		select {
		case s.stale <- d.Topic:
		default:
		}
	}
}

// handOver tells whether the message was taken. Once one was not, none of the
// session is, to keep the order: the broker delivers them again. Only those of
// QoS 0 that the client has read when the room ends are taken above the bounds,
// for nobody else has them.
func (s *session) handOver(d delivery) bool {
	switch s.phase.Load() {
	case phaseOpen:
		if s.a.queue.put(d, s.wait, s.closing) {
			return true
		}
		if s.close(phaseFull) {
			signal(s.full)
		}
	case phaseStopping:
		return false
	}
	if d.qos > 0 || s.phase.Load() == phaseStopping {
		return false
	}
	s.a.queue.force(d)
	return true
}

// subscribe asks for each filter by itself, so that one refusal does not spoil
// the others, and returns the refused ones.
func (s *session) subscribe(ctx context.Context, filters []filter) []filter {
	var refused []filter
	var names []string
	for _, f := range filters {
		detail := s.subscribeOne(ctx, f)
		if detail == "" {
			continue
		}
		refused = append(refused, f)
		names = append(names, detail)
		s.a.log.Warn("MQTT subscription refused", "filter", f.name, "reason", detail)
	}
	s.a.condition.refuse(strings.Join(names, "; "))
	return refused
}

// subscribeOne returns why the filter was not granted as asked, or "".
func (s *session) subscribeOne(ctx context.Context, f filter) string {
	token := s.client.Subscribe(f.name, f.qos, nil)
	if !s.await(ctx, token) {
		return fmt.Sprintf("no answer to the subscription of %s", f.name)
	}
	granted, ok := answerOf(token.(*paho.SubscribeToken))
	state, detail := mes.BindingGranted, ""
	switch {
	case token.Error() != nil && (!ok || granted != refusedQoS):
		state, detail = mes.BindingWaiting, fmt.Sprintf("the subscription of %s failed", f.name)
	case granted == refusedQoS:
		state, detail = mes.BindingRefused, fmt.Sprintf("the broker refuses the subscription of %s", f.name)
	case granted == 0 && f.qos > 0:
		state, detail = mes.BindingLimited, fmt.Sprintf("the broker grants only QoS 0 for %s, so messages may be lost", f.name)
	}
	s.a.condition.flow.answered(f.plain(), state)
	return detail
}

// answerOf is the return code for the one filter of a SUBSCRIBE, if there is an answer.
// The client names shared filters otherwise than they were sent.
func answerOf(token *paho.SubscribeToken) (code byte, ok bool) {
	for _, code := range token.Result() {
		return code, true
	}
	return 0, false
}

// await waits for the broker's answer, as long as the connection is up.
func (s *session) await(ctx context.Context, token paho.Token) bool {
	timer := time.NewTimer(answerTimeout)
	defer timer.Stop()
	select {
	case <-token.Done():
		return true
	case <-timer.C:
	case <-ctx.Done():
	case <-s.closing:
	}
	return false
}

// Bounds of the care for stale topics in one session: how many, and how often
// one of them. UNSUBACK says nothing of success in MQTT 3.1.1.
const (
	maxTidied = 64
	tidyPause = time.Second
)

// tidy unsubscribes what a former configuration subscribed to. MQTT does not
// tell which filter a message came by, so every filter that could have brought
// it is unsubscribed; no present one is among them, for none matches the topic.
func (s *session) tidy(ctx context.Context, name string) {
	last, before := s.tidied[name]
	if !before && len(s.tidied) >= maxTidied || before && time.Since(last) < tidyPause {
		return
	}
	s.tidied[name] = time.Now()
	s.a.log.Warn("MQTT message of no configured topic, quarantined and unsubscribed", "topic", name)
	guesses := filtersOf(name)
	if s.a.cfg.SharedGroup != "" {
		for _, filter := range guesses {
			guesses = append(guesses, s.a.shared(filter))
		}
	}
	s.await(ctx, s.client.Unsubscribe(guesses...))
}

// maxGuessLevels bounds the filters of one topic to 2^7 - 1.
const maxGuessLevels = 6

// filtersOf returns every filter that matches a topic, or only the topic
// itself where those are too many. It spells + and # in every place.
func filtersOf(name string) []string {
	levels := strings.Split(name, "/")
	if len(levels) > maxGuessLevels || strings.HasPrefix(name, "$") {
		return []string{name}
	}
	prefixes := [][]string{{}}
	list := []string{"#"}
	for i, level := range levels {
		var longer [][]string
		for _, p := range prefixes {
			longer = append(longer, append(slices.Clone(p), level), append(slices.Clone(p), "+"))
		}
		prefixes = longer
		for _, p := range prefixes {
			if i == len(levels)-1 {
				list = append(list, strings.Join(p, "/"))
			}
			list = append(list, strings.Join(p, "/")+"/#")
		}
	}
	return list
}
