package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func validConnection() MQTTConnection {
	one := 1
	return MQTTConnection{
		Name: "plant", URL: "ssl://broker.example:8883", ClientID: "plantgate-plant", KeepAlive: 30 * time.Second,
		Username: "u", PasswordFile: "/run/secrets/p",
		Subscriptions: []Subscription{
			{Topic: "mes/production/data", QoS: &one, Format: FormatEnvelope},
			{Topic: "plant/{site}/{machine}/#", QoS: &one, Format: FormatAuto},
			{Topic: "opc_data/all_variables", QoS: &one, Format: FormatSnapshot, MachineID: "M1", TimeZone: "Asia/Kolkata", DataType: "Telemetry"},
		},
	}
}

func TestMQTTConnectionFaults(t *testing.T) {
	t.Parallel()
	two, three := 2, 3
	tests := map[string]struct {
		change func(c *MQTTConnection)
		want   []string // key below mqtt.connections[0], a blank, part of the detail
	}{
		"valid":           {func(*MQTTConnection) {}, nil},
		"valid QoS 2":     {func(c *MQTTConnection) { c.Subscriptions[0].QoS = &two }, nil},
		"name":            {func(c *MQTTConnection) { c.Name = "" }, []string{"name required"}},
		"scheme":          {func(c *MQTTConnection) { c.URL = "http://a:1" }, []string{"url scheme"}},
		"port":            {func(c *MQTTConnection) { c.URL = "ssl://a" }, []string{"url port"}},
		"host":            {func(c *MQTTConnection) { c.URL = "ssl://:8883" }, []string{"url host"}},
		"no URL":          {func(c *MQTTConnection) { c.URL = "::" }, []string{"url not a URL"}},
		"credentials":     {func(c *MQTTConnection) { c.URL = "ssl://u:secret@a:1" }, []string{"url password_file"}},
		"path":            {func(c *MQTTConnection) { c.URL = "ssl://a:1/mqtt" }, []string{"url path"}},
		"websocket":       {func(c *MQTTConnection) { c.URL = "wss://a/mqtt" }, nil},
		"TLS on plain":    {func(c *MQTTConnection) { c.URL = "tcp://a:1"; c.TLS.CAFile = "ca" }, []string{"tls ssl://"}},
		"TLS version":     {func(c *MQTTConnection) { c.TLS.MinVersion = "1.1" }, []string{"tls.min_version 1.2 or 1.3"}},
		"presence":        {func(c *MQTTConnection) { c.Presence = Presence{"plant/state", "online", "offline"} }, nil},
		"presence filter": {func(c *MQTTConnection) { c.Presence = Presence{"plant/#", "online", "offline"} }, []string{"presence.topic wildcard"}},
		"presence empty":  {func(c *MQTTConnection) { c.Presence = Presence{"plant/state", "online", ""} }, []string{"presence empty"}},
		"key alone":       {func(c *MQTTConnection) { c.TLS.KeyFile = "k" }, []string{"tls go together"}},
		"no user":         {func(c *MQTTConnection) { c.Username = "" }, []string{"username required with"}},
		"both users":      {func(c *MQTTConnection) { c.UsernameFile = "f" }, []string{"username_file one of"}},
		"both passwords":  {func(c *MQTTConnection) { c.Password = "p" }, []string{"password_file one of"}},
		"client id":       {func(c *MQTTConnection) { c.ClientID = "" }, []string{"client_id session"}},
		"keep-alive":      {func(c *MQTTConnection) { c.KeepAlive = time.Millisecond }, []string{"keep_alive 1s"}},
		"nothing":         {func(c *MQTTConnection) { c.Subscriptions = nil }, []string{"subscriptions required"}},
		"only to publish": {func(c *MQTTConnection) {
			c.Subscriptions, c.Publish = nil, []Publish{{Kind: "command", Topic: "down/{machine}"}}
		}, nil},
		"topic":           {func(c *MQTTConnection) { c.Subscriptions[0].Topic = "a/#/b" }, []string{"subscriptions[0].topic last level"}},
		"QoS":             {func(c *MQTTConnection) { c.Subscriptions[0].QoS = &three }, []string{"subscriptions[0].qos 0, 1 or 2"}},
		"format":          {func(c *MQTTConnection) { c.Subscriptions[0].Format = "xml" }, []string{"subscriptions[0].format must be"}},
		"data type":       {func(c *MQTTConnection) { c.Subscriptions[0].DataType = "x" }, []string{"subscriptions[0].data_type must be"}},
		"zone":            {func(c *MQTTConnection) { c.Subscriptions[2].TimeZone = "IST2" }, []string{"subscriptions[2].timezone IANA"}},
		"no machine":      {func(c *MQTTConnection) { c.Subscriptions[2].MachineID = "" }, []string{"subscriptions[2].machine_id required"}},
		"bad machine":     {func(c *MQTTConnection) { c.Subscriptions[2].MachineID = "a~b" }, []string{"subscriptions[2].machine_id '~'"}},
		"bad site":        {func(c *MQTTConnection) { c.Subscriptions[2].SiteID = "a/b" }, []string{"subscriptions[2].site_id '/'"}},
		"captured":        {func(c *MQTTConnection) { c.Subscriptions[1].Format = FormatSnapshot }, nil},
		"same filter":     {func(c *MQTTConnection) { c.Subscriptions[2].Topic = "plant/+/{machine}/#" }, []string{"subscriptions[2].topic first wins"}},
		"several at once": {func(c *MQTTConnection) { c.Name, c.ClientID = "", "" }, []string{"name required", "client_id session"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := validConnection()
			tt.change(&c)
			checkFaults(t, MQTT{Connections: []MQTTConnection{c}}.validate(), "mqtt.connections[0].", tt.want)
		})
	}
}

func TestMQTTConnectionsTogether(t *testing.T) {
	t.Parallel()
	got := MQTT{Connections: []MQTTConnection{validConnection(), validConnection()}}.validate()
	checkFaults(t, got, "mqtt.connections[1].", []string{"name another", "client_id session"})
}

func TestBrokerFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(b *Broker)
		want   []string
	}{
		"valid":              {func(*Broker) {}, nil},
		"anonymous loopback": {func(b *Broker) { b.AllowAnonymous, b.Users = true, nil }, nil},
		"anonymous all":      {func(b *Broker) { b.AllowAnonymous, b.Listen = true, ":1883" }, []string{"allow_anonymous loopback"}},
		"listen":             {func(b *Broker) { b.Listen = "1883" }, []string{"listen address"}},
		"nobody":             {func(b *Broker) { b.Users = nil }, []string{"users nobody"}},
		"user twice":         {func(b *Broker) { b.Users = append(b.Users, b.Users[0]) }, []string{"users[1].username once"}},
		"no password":        {func(b *Broker) { b.Users[0].Password = "" }, []string{"users[0].password one of"}},
		"TLS":                {func(b *Broker) { b.TLS.CertFile = "c" }, []string{"tls go together"}},
		"limits":             {func(b *Broker) { b.MaxPacket, b.MaxClients = 0, 0 }, []string{"max_packet KiB", "max_clients 1"}},
		"off":                {func(b *Broker) { *b = Broker{} }, nil},
		"plaintext":          {func(b *Broker) { b.Listen = ":1883" }, []string{"tls allow_plaintext"}},
		"plaintext meant":    {func(b *Broker) { b.Listen, b.AllowPlaintext = ":1883", true }, nil},
		"plaintext with TLS": {func(b *Broker) { b.Listen, b.TLS = ":8883", BrokerTLS{"c", "k"} }, nil},
		"two passwords": {func(b *Broker) { b.Users[0].PasswordHash = goodHash },
			[]string{"users[0].password one of"}},
		"hash":         {func(b *Broker) { b.Users[0] = BrokerUser{Username: "u", PasswordHash: goodHash} }, nil},
		"wrong hash":   {func(b *Broker) { b.Users[0] = BrokerUser{Username: "u", PasswordHash: "plain"} }, []string{"users[0].password_hash hash"}},
		"hash as word": {func(b *Broker) { b.Users[0].Password = goodHash }, []string{"users[0].password password_hash"}},
		"rights": {func(b *Broker) {
			b.Users[0].Publish, b.Users[0].Subscribe = []string{"a/{username}/{client_id}/#", "+/b"}, []string{"$SYS/#"}
		}, nil},
		"wrong rights": {func(b *Broker) {
			b.Users[0].Publish, b.Users[0].Subscribe = []string{"$SYS/x", "a/#/b", "x{username}"}, []string{"$share/g/a", "{machine}", ""}
		}, []string{"users[0].publish[0] $", "users[0].publish[1] last", "users[0].publish[2] whole", "users[0].subscribe[0] $share", "users[0].subscribe[1] captures", "users[0].subscribe[2] required"}},
		"other names in rights": {func(b *Broker) { b.Users[0].Publish = []string{"plant/{user}/#", "a/{signal}", "{site}/x"} },
			[]string{"users[0].publish[0] {username} nor {client_id}", "users[0].publish[1] {username}", "users[0].publish[2] {username}"}},
		"most state": {func(b *Broker) { b.Limits.MaxBytes, b.Limits.MaxRetainedBytes = 384<<20, 128<<20 }, nil},
		"too much state": {func(b *Broker) { b.Limits.MaxBytes, b.Limits.MaxRetainedBytes = 384<<20, 128<<20+1 },
			[]string{"limits.max_bytes max_retained_bytes"}},
		"far too much state": {func(b *Broker) { b.Limits.MaxBytes, b.Limits.MaxRetainedBytes = 1<<40, 1<<40 },
			[]string{"limits.max_bytes 536870912", "limits.max_retained_bytes 536870912"}},
		"no rights": {func(b *Broker) { b.Users[0].Publish, b.Users[0].Subscribe = []string{}, []string{} }, []string{"users[0].publish nothing"}},
		"no limits": {func(b *Broker) { b.Limits = BrokerLimits{} }, []string{
			"limits.connect_timeout 100ms", "limits.max_inflight 65535", "limits.receive_maximum 65535", "limits.max_subscriptions 1",
			"limits.max_topic_levels 1000", "limits.max_topic_length 65535", "limits.max_queued 1", "limits.max_queued_bytes 1048576",
			"limits.session_expiry 1s",
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := Default().MQTT.Broker
			b.Enabled = true
			b.Users = []BrokerUser{{Username: "u", Password: "p"}}
			tt.change(&b)
			checkFaults(t, MQTT{Broker: b}.validate(), "mqtt.broker.", tt.want)
		})
	}
}

const goodHash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

func TestBrokerWarnings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("plain\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.MQTT.Broker.Users = []BrokerUser{{Username: "a", Password: "p"}, {Username: "b", PasswordFile: file}, {Username: "c", PasswordHash: goodHash}}
	c.MQTT.Broker.AllowPlaintext, c.MQTT.Broker.Persistence.Enabled = true, false
	if got := c.Warnings(); len(got) != 0 {
		t.Errorf("of a broker that is off: %+v", got)
	}
	c.MQTT.Broker.Enabled = true
	checkFaults(t, c.Warnings(), "mqtt.broker.", []string{
		"users[0].password plain", "users[1].password_file plain", "allow_plaintext plain", "persistence.enabled end",
	})
}

// TestRightsFromYAML: a list that is empty is not one that is left out.
func TestRightsFromYAML(t *testing.T) {
	t.Parallel()
	c, _, err := Load(writeFile(t, `
mqtt:
  broker:
    enabled: true
    users:
    - {username: all, password: p}
    - {username: reads, password: p, publish: [], subscribe: ["a/#"]}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, reads := c.MQTT.Broker.Users[0], c.MQTT.Broker.Users[1]
	if all.Publish != nil || all.Subscribe != nil || len(reads.Publish) != 0 || len(reads.Subscribe) != 1 {
		t.Errorf("%+v", c.MQTT.Broker.Users)
	}
	if _, _, err := Load(writeFile(t, `
mqtt: {broker: {enabled: true, users: [{username: none, password: p, publish: [], subscribe: []}]}}
`), nil); err == nil || !strings.Contains(err.Error(), "mqtt.broker.users[0].publish") {
		t.Errorf("a user who may do nothing: %v", err)
	}
}

func checkFaults(t *testing.T, got []Fault, prefix string, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d faults %+v, want %d %q", len(got), got, len(want), want)
	}
	for _, w := range want {
		member, detail, _ := strings.Cut(w, " ")
		if !slices.ContainsFunc(got, func(f Fault) bool { return f.Key == prefix+member && strings.Contains(f.Detail, detail) }) {
			t.Errorf("no fault of %s%s with %q in %+v", prefix, member, detail, got)
		}
	}
}

func TestReadinessPolicyIsChecked(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Readiness.Adapters = "panic"
	faults := c.Validate()
	if len(faults) != 1 || faults[0].Key != "readiness.adapters" {
		t.Errorf("%v", faults)
	}
}
