package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/topic"
)

// minKeepAlive is the shortest keep-alive: MQTT counts it in whole seconds.
const minKeepAlive = time.Second

// maxKeepAlive is the longest: 16 bits of seconds (MQTT 3.1.1, 3.1.2.10).
const maxKeepAlive = 65535 * time.Second

// maxClientID is the longest client id that every broker takes, in bytes; the
// standard asks for 23 (3.1.3.1), Mosquitto and RabbitMQ take 65535.
const maxClientID = 256

// validate returns every fault of the MQTT sections.
func (m MQTT) validate() []Fault {
	var faults []Fault
	if m.Broker.Enabled {
		faults = m.Broker.validate("mqtt.broker")
	}
	names := make(map[string]bool)
	sessions := make(map[string]bool)
	for i, c := range m.Connections {
		key := fmt.Sprintf("mqtt.connections[%d]", i)
		faults = append(faults, c.validate(key)...)
		if c.Name != "" && names[c.Name] {
			faults = append(faults, Fault{key + ".name", fmt.Sprintf("%q is the name of another connection", c.Name)})
		}
		names[c.Name] = true
		faults = append(faults, validatePublish(key, c.Publish)...)
		session := c.URL + " " + c.ClientID
		if c.ClientID != "" && sessions[session] {
			faults = append(faults, Fault{key + ".client_id", "another connection to this broker has this client id: each would end the other's session"})
		}
		sessions[session] = true
	}
	return append(faults, m.ownPublications()...)
}

func (c MQTTConnection) validate(key string) []Fault {
	var faults []Fault
	add := func(member, format string, args ...any) {
		faults = append(faults, Fault{key + "." + member, fmt.Sprintf(format, args...)})
	}
	if err := mes.CheckID(c.Name); err != nil {
		add("name", "%s", err)
	}
	secure, err := checkBrokerURL(c.URL)
	if err != nil {
		add("url", "%s", err)
	}
	if c.ClientID == "" || len(c.ClientID) > maxClientID || strings.ContainsRune(c.ClientID, 0) {
		add("client_id", "must have 1 to %d bytes: the broker keeps the session under it", maxClientID)
	}
	faults = append(faults, c.validateSharedGroup(key)...)
	if c.KeepAlive < minKeepAlive || c.KeepAlive > maxKeepAlive {
		add("keep_alive", "must be from 1s to 65535s")
	}
	if c.Username != "" && c.UsernameFile != "" {
		add("username_file", "username is given too: one of them")
	}
	if c.Password != "" && c.PasswordFile != "" {
		add("password_file", "password is given too: one of them")
	}
	if (c.Password != "" || c.PasswordFile != "") && c.Username == "" && c.UsernameFile == "" {
		add("username", "is required with a password (MQTT 3.1.1, 3.1.2.9)")
	}
	if v := c.TLS.MinVersion; v != "" && v != TLS12 && v != TLS13 {
		add("tls.min_version", "must be 1.2 or 1.3, not %q", v)
	}
	if t := c.TLS; err == nil && !secure && (t.CAFile != "" || t.CertFile != "" || t.KeyFile != "" || t.ServerName != "") {
		add("tls", "the URL is not one of TLS: use ssl:// or wss://")
	}
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		add("tls", "cert_file and key_file go together")
	}
	if c.Presence.Topic != "" {
		if err := topic.CheckName(c.Presence.Topic); err != nil {
			add("presence.topic", "%s", err)
		}
		if c.Presence.Online == "" || c.Presence.Offline == "" {
			add("presence", "online and offline must not be empty: an empty retained message deletes the one before (MQTT 3.1.1, 3.3.1.3)")
		}
	}
	if c.Sparkplug.Enabled {
		faults = append(faults, c.validateSparkplug(key)...)
	} else if len(c.Subscriptions) == 0 && len(c.Publish) == 0 {
		add("subscriptions", "at least one is required, or something to publish")
	}
	return append(faults, validateSubscriptions(key, c.Subscriptions)...)
}

// checkBrokerURL tells whether the URL is one of TLS.
func checkBrokerURL(text string) (secure bool, err error) {
	u, err := url.Parse(text)
	if err != nil {
		// The parser's error repeats the text, which may hold a password.
		return false, fmt.Errorf("is not a URL such as ssl://broker.example:8883")
	}
	if u.User != nil {
		return false, fmt.Errorf("must have no user or password, which would show in logs: use username and password_file")
	}
	switch u.Scheme {
	case "tcp", "mqtt", "ws":
	case "ssl", "tls", "mqtts", "wss":
		secure = true
	default:
		return false, fmt.Errorf("the scheme must be tcp or mqtt, ssl, tls or mqtts, ws or wss, not %q", u.Scheme)
	}
	if u.Hostname() == "" {
		return secure, fmt.Errorf("the host is missing")
	}
	if strings.HasPrefix(u.Scheme, "ws") {
		return secure, nil
	}
	if u.Port() == "" {
		return secure, fmt.Errorf("the port is missing: usually 1883, with TLS 8883")
	}
	if u.Path != "" && u.Path != "/" {
		return secure, fmt.Errorf("only ws and wss have a path")
	}
	return secure, nil
}

func (b Broker) validate(key string) []Fault {
	var faults []Fault
	add := func(member, detail string) { faults = append(faults, Fault{key + "." + member, detail}) }
	host, _, err := net.SplitHostPort(b.Listen)
	switch {
	case err != nil:
		add("listen", "must be an address such as 127.0.0.1:1883 or :1883")
	case b.AllowAnonymous && !isLoopback(host):
		add("allow_anonymous", "only on a loopback address: anybody in the network could write data")
	}
	if !b.AllowAnonymous && len(b.Users) == 0 {
		add("users", "at least one is required, or nobody can connect")
	}
	if (b.TLS.CertFile == "") != (b.TLS.KeyFile == "") {
		add("tls", "cert_file and key_file go together")
	}
	if b.MaxPacket < 1024 || b.MaxPacket > 256<<20 {
		add("max_packet", "must be from 1 KiB to 256 MiB, in bytes")
	}
	if b.MaxClients < 1 {
		add("max_clients", "must be at least 1")
	}
	var names []string
	for i, u := range b.Users {
		member := fmt.Sprintf("users[%d]", i)
		if u.Username == "" || slices.Contains(names, u.Username) {
			add(member+".username", "must be given, and once only")
		}
		names = append(names, u.Username)
		faults = append(faults, u.validate(key+"."+member)...)
	}
	faults = append(faults, validatePublish(key, b.Publish)...)
	if b.TLS.CertFile == "" && !b.AllowPlaintext && !b.AllowAnonymous && err == nil && !isLoopback(host) && len(b.Users) > 0 {
		add("tls", "passwords would travel in plain text: give cert_file and key_file, listen on a loopback address, or set allow_plaintext: true if that is meant")
	}
	faults = append(faults, b.Limits.validate(key+".limits", b.MaxPacket)...)
	return append(faults, validateSubscriptions(key, b.Subscriptions)...)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func validateSubscriptions(key string, list []Subscription) []Fault {
	var faults []Fault
	filters := make(map[string]bool)
	for i, s := range list {
		at := fmt.Sprintf("%s.subscriptions[%d]", key, i)
		faults = append(faults, s.validate(at)...)
		p, err := topic.Parse(s.Topic)
		if err != nil {
			continue
		}
		if filters[p.Filter()] {
			faults = append(faults, Fault{at + ".topic", "a former subscription takes the same topics: the first wins"})
		}
		filters[p.Filter()] = true
	}
	return faults
}

func (s Subscription) validate(key string) []Fault {
	var faults []Fault
	add := func(member, format string, args ...any) {
		faults = append(faults, Fault{key + "." + member, fmt.Sprintf(format, args...)})
	}
	pattern, err := topic.Parse(s.Topic)
	if err != nil {
		add("topic", "%s", err)
	}
	if s.QoS != nil && (*s.QoS < 0 || *s.QoS > 2) {
		add("qos", "must be 0, 1 or 2")
	}
	formats := []string{FormatAuto, FormatFlat, FormatEnvelope, FormatSnapshot, FormatValue, FormatJSON, FormatCSV, FormatNumber, FormatText, FormatReply}
	if !slices.Contains(formats, s.Format) {
		add("format", "must be one of %s, not %q", strings.Join(formats, ", "), s.Format)
	}
	if s.Format == FormatReply && (s.DataType != "" || s.TimeZone != "") {
		add("format", "a reply has neither data_type nor timezone")
	}
	if s.DataType != "" && !slices.Contains(mes.DataTypes(), mes.DataType(s.DataType)) {
		add("data_type", "must be Telemetry, Production, Quality, Event or State, not %q", s.DataType)
	}
	if s.TimeZone != "" {
		if _, err := time.LoadLocation(s.TimeZone); err != nil {
			add("timezone", "unknown time zone %q: use an IANA name such as Asia/Kolkata", s.TimeZone)
		}
	}
	if s.SiteID != "" && mes.CheckID(s.SiteID) != nil {
		add("site_id", "%s", mes.CheckID(s.SiteID))
	}
	named := err == nil && pattern.Captures(topic.CaptureMachine)
	switch {
	case s.MachineID != "" && mes.CheckID(s.MachineID) != nil:
		add("machine_id", "%s", mes.CheckID(s.MachineID))
	case s.MachineID == "" && !named && s.namesNoMachine():
		add("machine_id", "is required: a %s names no machine, and the topic has no {machine}", s.Format)
	}
	if err != nil || !slices.Contains(formats, s.Format) {
		return faults
	}
	_, wrong := mapping.Compile(s.Mapping(), pattern.CapturedNames())
	for _, f := range wrong {
		add(f.Key, "%s", f.Detail)
	}
	return faults
}

// namesNoMachine tells whether no message can say which machine it is of.
func (s Subscription) namesNoMachine() bool {
	switch s.Format {
	case FormatSnapshot, FormatValue, FormatNumber, FormatText:
		return true
	case FormatCSV:
		return s.CSV != nil && s.CSV.Machine == ""
	case FormatJSON:
		return s.JSON != nil && s.JSON.Machine == "" && !slices.ContainsFunc(s.JSON.Each, func(e mapping.EachSpec) bool { return e.Machine != "" })
	}
	return false
}
