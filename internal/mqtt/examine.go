package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/uuid"

	"plantgate/internal/config"
	"plantgate/internal/doctor"
	"plantgate/internal/mqtt/topic"
)

// examineSuffix makes a client id of its own: with the real one the examination would end
// the running server's session.
const examineSuffix = "-doctor"

// scratch is the topic below which the examination publishes.
const scratch = "plantgate/doctor/"

// Times of an examination.
const (
	// examineQuiet is how long a message may take that should come back at once.
	examineQuiet = 3 * time.Second
)

// Examine holds a connection's configuration against its broker: whether it can be reached
// and lets the client in, what it grants, and what it does that a plant has to know of. It
// connects under a client id of its own with a clean session, subscribes to nothing that
// would take messages from others, and publishes below plantgate/doctor only. largest is
// the largest payload that is to come through, in bytes.
func Examine(ctx context.Context, cfg config.MQTTConnection, largest int, report *doctor.Report) {
	e := &examination{
		cfg: cfg, subject: report.On("mqtt " + cfg.Name), largest: largest,
		base: scratch + strings.ReplaceAll(uuid.NewString(), "-", ""),
	}
	var err error
	if e.creds, err = readCredentials(cfg); err != nil {
		e.subject.Fail("credentials", "correct the setting", "%s", forOperator(err, "they can't be read"))
		return
	}
	if e.url, err = url.Parse(cfg.URL); err != nil {
		e.subject.Fail("url", "correct it", "it is not a URL")
		return
	}
	e.files()
	if !e.network(ctx) || !e.lets(ctx) {
		return
	}
	e.grants(ctx)
	e.delivery(ctx)
}

type examination struct {
	cfg     config.MQTTConnection
	creds   credentials
	url     *url.URL
	subject *doctor.Subject
	largest int
	// base is the scratch topic.
	base string
	// dotted means that dots in topics come back as slashes.
	dotted bool
}

// files checks certificates that stand in files.
func (e *examination) files() {
	if !usesTLS(e.cfg.URL) {
		return
	}
	if e.cfg.TLS.CAFile != "" {
		e.subject.CertificateFile("tls.ca_file", e.cfg.TLS.CAFile, time.Now())
	}
	if e.cfg.TLS.CertFile != "" {
		e.subject.CertificateFile("tls.cert_file", e.cfg.TLS.CertFile, time.Now())
	}
}

// network tells whether the broker can be reached.
func (e *examination) network(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	host := e.url.Hostname()
	if net.ParseIP(host) == nil {
		addresses, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			e.subject.Fail("name", "check url and the name server", "%s can't be resolved", host)
			return false
		}
		e.subject.OK("name", "%s is %s", host, strings.Join(addresses, ", "))
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", hostPort(e.url))
	if err != nil {
		e.fault("tcp", failure(e.cfg, err, false))
		return false
	}
	defer func() { _ = conn.Close() }()
	e.subject.OK("tcp", "%s answers", conn.RemoteAddr())
	if e.creds.tls != nil {
		return e.tls(ctx, conn)
	}
	if addr, ok := conn.RemoteAddr().(*net.TCPAddr); e.creds.password != "" && (!ok || !addr.IP.IsLoopback()) {
		e.subject.Warn("tls", "use a scheme of TLS, such as mqtts://", "the password goes through the network in clear")
	}
	return true
}

func (e *examination) tls(ctx context.Context, conn net.Conn) bool {
	client := tls.Client(conn, e.creds.tls)
	if err := client.HandshakeContext(ctx); err != nil {
		e.fault("tls", failure(e.cfg, err, false))
		return false
	}
	state := client.ConnectionState()
	leaf := state.PeerCertificates[0]
	e.subject.OK("tls", "%s, the certificate for %s is trusted", tls.VersionName(state.Version), namesOf(leaf))
	e.subject.Expiry("broker certificate", leaf, time.Now())
	return true
}

// fault adds an error whose words say what to do, after a colon.
func (e *examination) fault(check string, err error) {
	detail, advice, _ := strings.Cut(forOperator(err, "it fails"), ": ")
	e.subject.Fail(check, advice, "%s", detail)
}

// lets tells whether the broker lets the client in.
func (e *examination) lets(ctx context.Context) bool {
	c, err := e.connect(ctx)
	if err != nil {
		e.fault("connect", err)
		return false
	}
	c.end()
	e.subject.OK("connect", "accepted as %s%s with a session that ends", e.cfg.ClientID, examineSuffix)
	return true
}

// examiner is a connection that the examination made.
type examiner struct {
	client paho.Client
	lost   chan error
	came   chan paho.Message
}

func (c *examiner) end() { c.client.Disconnect(100) }

// connect makes a connection with a clean session.
func (e *examination) connect(ctx context.Context) (*examiner, error) {
	return e.connectBy(ctx, func(*paho.ClientOptions) {})
}

// connectBy is connect with other options.
func (e *examination) connectBy(ctx context.Context, change func(*paho.ClientOptions)) (*examiner, error) {
	c := &examiner{lost: make(chan error, 1), came: make(chan paho.Message, 64)}
	var seen heardConn
	tlsConfig := e.creds.tls
	if tlsConfig != nil {
		tlsConfig = tlsConfig.Clone()
	}
	asked := noteRequest(tlsConfig)
	opts := paho.NewClientOptions().
		AddBroker(e.url.String()).SetProtocolVersion(4).
		SetClientID(e.cfg.ClientID + examineSuffix).SetCleanSession(true).
		SetUsername(e.creds.username).SetPassword(e.creds.password).
		SetConnectTimeout(connectTimeout).SetAutoReconnect(false).SetConnectRetry(false).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			select {
			case c.came <- m:
			default: // only scratch messages are looked at
			}
		}).
		SetConnectionLostHandler(func(_ paho.Client, err error) { c.lost <- err }).
		SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
			conn, err := dial(ctx, u, tlsConfig)
			if err != nil {
				seen.err = err
				return nil, err
			}
			seen.Conn = conn
			return &checkedConn{Conn: &seen}, nil
		})
	change(opts)
	c.client = paho.NewClient(opts)
	token := c.client.Connect().(*paho.ConnectToken)
	<-token.Done() // dial and connect timeout bound it
	if err := connectError(e.cfg, token, seen.fault(), asked.Load()); err != nil {
		return nil, err
	}
	return c, nil
}

var (
	errSilent = errors.New("no answer in time")
	errClosed = errors.New("the broker ended the connection")
)

// await waits for an answer of the broker.
func (c *examiner) await(ctx context.Context, token paho.Token) error {
	timer, lost := time.NewTimer(answerTimeout), c.lost
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-lost:
		return errClosed
	case <-timer.C:
		return errSilent
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subscribe returns what the broker grants.
func (c *examiner) subscribe(ctx context.Context, filter string, qos byte) (byte, error) {
	token := c.client.Subscribe(filter, qos, nil)
	err := c.await(ctx, token)
	code, ok := answerOf(token.(*paho.SubscribeToken))
	if ok && !errors.Is(err, errClosed) && !errors.Is(err, errSilent) {
		return code, nil
	}
	return code, err
}

// grants asks for each configured filter. A shared one is asked for in a group of its own:
// in the real one the broker would deal messages out to the examination.
func (e *examination) grants(ctx context.Context) {
	for _, s := range e.cfg.Subscriptions {
		p, err := topic.Parse(s.Topic)
		if err != nil {
			continue // told by the check of the configuration
		}
		name, qos := p.Filter(), byte(1)
		if s.QoS != nil {
			qos = byte(*s.QoS)
		}
		if rest, shared := strings.CutPrefix(name, "$share/"); shared {
			_, name, _ = strings.Cut(rest, "/")
		}
		if e.shares() {
			name = "$share/plantgate-doctor/" + name
		}
		e.granted(ctx, s.Topic, name, qos)
	}
}

func (e *examination) granted(ctx context.Context, configured, name string, qos byte) {
	c, err := e.connect(ctx)
	if err != nil {
		e.fault("subscription "+configured, err)
		return
	}
	defer c.end()
	check := "subscription " + configured
	code, err := c.subscribe(ctx, name, qos)
	switch {
	case err != nil:
		e.subject.Fail(check, "give the user the right to read it", "%s", err)
	case code == refusedQoS:
		e.subject.Fail(check, "give the user the right to read it", "the broker refuses it")
	case code == 0 && qos > 0:
		e.subject.Warn(check, "messages may be lost: have the broker grant QoS 1", "QoS 0 granted, %d asked for", qos)
	case code < qos:
		e.subject.Note(check, "nothing is lost by that: QoS 1 and the identity of records do the same", "QoS %d granted, %d asked for", code, qos)
	default:
		e.subject.OK(check, "QoS %d granted", code)
	}
}

// shares tells whether the configuration has shared subscriptions.
func (e *examination) shares() bool {
	if e.cfg.SharedGroup != "" {
		return true
	}
	for _, s := range e.cfg.Subscriptions {
		if strings.HasPrefix(s.Topic, "$share/") {
			return true
		}
	}
	return false
}

// hostPort is where the URL leads to.
func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	port := "80" // of WebSocket; other schemes must name theirs
	if u.Scheme == "wss" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// dots lists what is configured with dots in it.
func dots(cfg config.MQTTConnection) []string {
	var list []string
	for _, s := range cfg.Subscriptions {
		if strings.Contains(s.Topic, ".") {
			list = append(list, "topic "+s.Topic)
		}
		if p, err := topic.Parse(s.Topic); err == nil && p.Captures(topic.CaptureMachine) {
			continue
		}
		if strings.Contains(s.MachineID, ".") {
			list = append(list, "machine_id "+s.MachineID)
		}
	}
	if strings.Contains(cfg.Presence.Topic, ".") {
		list = append(list, "presence.topic "+cfg.Presence.Topic)
	}
	return list
}

// describe says in one line what a payload of a size is.
func describe(bytes int) string { return fmt.Sprintf("%d KiB", bytes>>10) }
