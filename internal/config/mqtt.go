package config

import (
	"time"

	"plantgate/internal/ingest/mapping"
)

// MQTT holds the connections to brokers and the own broker.
type MQTT struct {
	Broker      Broker           `koanf:"broker"`
	Connections []MQTTConnection `koanf:"connections"`
}

// MQTTConnection is a permanent connection to a broker.
type MQTTConnection struct {
	Name     string `koanf:"name"`
	URL      string `koanf:"url"`
	ClientID string `koanf:"client_id"`
	// Required makes the server unready while the connection is down.
	Required bool `koanf:"required"`
	// SharedGroup makes each of several servers take a part of the messages, by shared
	// subscriptions of that group; "" gives the connection to one of them at a time.
	SharedGroup string `koanf:"shared_group"`

	Username string `koanf:"username"`
	// UsernameFile and PasswordFile are read at each connect.
	UsernameFile  string         `koanf:"username_file"`
	Password      string         `koanf:"password"`
	PasswordFile  string         `koanf:"password_file"`
	TLS           ClientTLS      `koanf:"tls"`
	KeepAlive     time.Duration  `koanf:"keep_alive"`
	Presence      Presence       `koanf:"presence"`
	Sparkplug     Sparkplug      `koanf:"sparkplug"`
	Subscriptions []Subscription `koanf:"subscriptions"`
	Publish       []Publish      `koanf:"publish"`
}

// ClientTLS is how a server is verified and how the client proves itself.
type ClientTLS struct {
	CAFile     string `koanf:"ca_file"`
	CertFile   string `koanf:"cert_file"`
	KeyFile    string `koanf:"key_file"`
	ServerName string `koanf:"server_name"`
	// MinVersion is 1.2 (the default) or 1.3.
	MinVersion string `koanf:"min_version"`
}

// The versions of TLS that may be the least.
const (
	TLS12 = "1.2"
	TLS13 = "1.3"
)

// Presence is where a connection says whether it is up: retained, with QoS 1, Offline as
// its will. Without a topic it says nothing.
type Presence struct {
	Topic   string `koanf:"topic"`
	Online  string `koanf:"online"`
	Offline string `koanf:"offline"`
}

// Subscription binds a topic filter to machines and a payload format. The
// filter's levels may be captures: {site} {area} {line} {machine} {signal}.
type Subscription struct {
	Topic string `koanf:"topic"`
	// QoS is 1 unless given.
	QoS       *int   `koanf:"qos"`
	Format    string `koanf:"format"`
	SiteID    string `koanf:"site_id"`
	MachineID string `koanf:"machine_id"`
	DataType  string `koanf:"data_type"`
	// TimeZone is the zone of times without an offset, where it is not the
	// format's usual one.
	TimeZone string `koanf:"timezone"`

	// What follows says how payloads are read that are none of the built-in shapes, and
	// what is added to every message; see package mapping.
	JSON         *mapping.JSONSpec `koanf:"json"`
	CSV          *mapping.CSVSpec  `koanf:"csv"`
	TimeFormat   string            `koanf:"time_format"`
	StatusMap    map[string]string `koanf:"status_map"`
	QualityMap   map[string]string `koanf:"quality_map"`
	Signal       string            `koanf:"signal"`
	Scale        string            `koanf:"scale"`
	Offset       string            `koanf:"offset"`
	DecimalComma bool              `koanf:"decimal_comma"`
	Units        map[string]string `koanf:"units"`
	Constants    map[string]any    `koanf:"constants"`
}

// Mapping returns what the subscription says of payloads.
func (s Subscription) Mapping() mapping.Spec {
	return mapping.Spec{
		Format: s.Format, JSON: s.JSON, CSV: s.CSV, TimeFormat: s.TimeFormat, StatusMap: s.StatusMap, QualityMap: s.QualityMap,
		Signal: s.Signal, Scale: s.Scale, Offset: s.Offset, DecimalComma: s.DecimalComma, Units: s.Units, Constants: s.Constants,
	}
}
