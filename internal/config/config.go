// Package config is plantgate's configuration: a struct with defaults, read
// from YAML and then from PLANTGATE_* environment variables, and checked as a
// whole before anything starts. Every fault is named by its key, all at once.
package config

import (
	"time"

	"plantgate/internal/ingest/mapping"
)

// Config is the whole configuration. The embedded example documents every key.
type Config struct {
	Server    Server    `koanf:"server"`
	Auth      Auth      `koanf:"auth"`
	Store     Store     `koanf:"store"`
	Site      Site      `koanf:"site"`
	Sites     []Site    `koanf:"sites"`
	Equipment Equipment `koanf:"equipment"`
	Data      Data      `koanf:"data"`
	MQTT      MQTT      `koanf:"mqtt"`
	OPCUA     OPCUA     `koanf:"opcua"`
	Metrics   Metrics   `koanf:"metrics"`
	Readiness Readiness `koanf:"readiness"`
	Log       Log       `koanf:"log"`
}

// Server is the HTTPS listener.
type Server struct {
	Listen         string        `koanf:"listen"`
	AllowPlaintext bool          `koanf:"allow_plaintext"`
	TLS            ServerTLS     `koanf:"tls"`
	StopTimeout    time.Duration `koanf:"stop_timeout"`
	// MaxBody is the largest request body after decompression, in bytes.
	MaxBody int64 `koanf:"max_body"`
	// TrustedProxies are CIDR blocks whose X-Forwarded-For is believed.
	TrustedProxies []string  `koanf:"trusted_proxies"`
	RateLimit      RateLimit `koanf:"rate_limit"`
}

// ServerTLS says where the certificate comes from: self-signed, files or off.
type ServerTLS struct {
	Mode     string   `koanf:"mode"`
	Folder   string   `koanf:"folder"`
	Hosts    []string `koanf:"hosts"`
	CertFile string   `koanf:"cert_file"`
	KeyFile  string   `koanf:"key_file"`
}

// RateLimit bounds the requests of one API key; 0 requests a second is no limit.
type RateLimit struct {
	PerSecond float64 `koanf:"per_second"`
	Burst     int     `koanf:"burst"`
}

// Auth holds the bootstrap key, which has every scope and is never stored.
type Auth struct {
	BootstrapKey     string `koanf:"bootstrap_key"`
	BootstrapKeyFile string `koanf:"bootstrap_key_file"`
}

// Store says where data are kept.
type Store struct {
	DSN     string `koanf:"dsn"`
	DSNFile string `koanf:"dsn_file"`
	// Password takes the place of one in the DSN.
	Password     string `koanf:"password"`
	PasswordFile string `koanf:"password_file"`
	// Readers is the size of the pool of read connections.
	Readers   int       `koanf:"readers"`
	Log       StoreLog  `koanf:"log"`
	SQLServer SQLServer `koanf:"sqlserver"`
}

// StoreLog is the log of arrivals before the database. The zero value of a field
// means its default.
type StoreLog struct {
	// Folder is where it stands; "" is beside the database.
	Folder string `koanf:"folder"`
	// MaxRecords and MaxBytes bound what waits in it for the database.
	MaxRecords int `koanf:"max_records"`
	MaxBytes   int `koanf:"max_bytes"`
	// Delay is how long records may wait for company, unless somebody reads.
	Delay time.Duration `koanf:"delay"`
}

// Site is a plant and its time zone (IANA name).
type Site struct {
	ID       string `koanf:"id"`
	Name     string `koanf:"name"`
	TimeZone string `koanf:"timezone"`
}

// Equipment says what becomes of data of unknown machines: register,
// quarantine or refuse.
type Equipment struct {
	Unknown string `koanf:"unknown"`
}

// Data holds the limits of machine data.
type Data struct {
	MaxFuture    time.Duration `koanf:"max_future"`
	DedupeWindow time.Duration `koanf:"dedupe_window"`
	// Retention is how long records are kept after their time; 0 is for ever.
	Retention time.Duration `koanf:"retention"`
	MaxRecord int           `koanf:"max_record"`
	MaxBatch  int           `koanf:"max_batch"`
	MaxDepth  int           `koanf:"max_depth"`
	// Queue is how many records, and QueueBytes how many bytes of them, may wait
	// for the writer before doors are slowed.
	Queue      int `koanf:"queue"`
	QueueBytes int `koanf:"queue_bytes"`
}

// MQTT holds the connections to brokers and the own broker.
type MQTT struct {
	Broker      Broker           `koanf:"broker"`
	Connections []MQTTConnection `koanf:"connections"`
}

// Broker is the own MQTT broker.
type Broker struct {
	Enabled bool         `koanf:"enabled"`
	Listen  string       `koanf:"listen"`
	TLS     BrokerTLS    `koanf:"tls"`
	Users   []BrokerUser `koanf:"users"`
	// AllowAnonymous is refused on addresses other than loopback.
	AllowAnonymous bool           `koanf:"allow_anonymous"`
	MaxPacket      int            `koanf:"max_packet"`
	MaxClients     int            `koanf:"max_clients"`
	Subscriptions  []Subscription `koanf:"subscriptions"`
	Publish        []Publish      `koanf:"publish"`
	// AllowPlaintext consents to passwords without TLS on addresses other than loopback.
	AllowPlaintext bool              `koanf:"allow_plaintext"`
	Persistence    BrokerPersistence `koanf:"persistence"`
	Limits         BrokerLimits      `koanf:"limits"`
}

// BrokerTLS makes the own broker listen with TLS; empty files are plaintext.
type BrokerTLS struct {
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
}

// BrokerUser may connect to the own broker.
type BrokerUser struct {
	Username     string `koanf:"username"`
	Password     string `koanf:"password"`
	PasswordFile string `koanf:"password_file"`
	// PasswordHash is one of Argon2id or bcrypt; PasswordFile may hold one too.
	PasswordHash string `koanf:"password_hash"`
	// Publish and Subscribe are the topic filters that the user may use. Without either
	// it may use everything but the broker's own topics; with one, nothing of the other.
	Publish   []string `koanf:"publish"`
	Subscribe []string `koanf:"subscribe"`
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

// Sparkplug makes a connection a host application of Sparkplug B.
type Sparkplug struct {
	Enabled bool `koanf:"enabled"`
	// HostID is the id by which edge nodes know the host: they wait for it if it is their
	// primary one.
	HostID string `koanf:"host_id"`
	// Groups are those to listen to; none is every.
	Groups []string `koanf:"groups"`
	// SiteID is the site of groups that Sites, a map of groups to sites, does not name.
	SiteID string            `koanf:"site_id"`
	Sites  map[string]string `koanf:"sites"`
	// NodeMachine and DeviceMachine are the ids of machines, with {group}, {node} and
	// {device}.
	NodeMachine   string `koanf:"node_machine"`
	DeviceMachine string `koanf:"device_machine"`
	// RebirthInterval is the least time between two requests to a node for its births.
	RebirthInterval time.Duration `koanf:"rebirth_interval"`
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

// OPCUA holds the connections to OPC UA servers.
type OPCUA struct {
	Connections []OPCUAConnection `koanf:"connections"`
}

// OPCUAConnection is a supervised subscription to one server.
type OPCUAConnection struct {
	Name     string `koanf:"name"`
	Endpoint string `koanf:"endpoint"`
	// Required makes the server unready while the connection is down.
	Required bool `koanf:"required"`
	// SecurityPolicy is None, Basic256Sha256, Aes128_Sha256_RsaOaep or
	// Aes256_Sha256_RsaPss; SecurityMode None, Sign or SignAndEncrypt.
	SecurityPolicy string `koanf:"security_policy"`
	SecurityMode   string `koanf:"security_mode"`
	Username       string `koanf:"username"`
	Password       string `koanf:"password"`
	PasswordFile   string `koanf:"password_file"`
	// CertFile and KeyFile are the client's own application certificate (PEM).
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
	// ServerThumbprint is the SHA-256 of the server's certificate (hex), or
	// ServerCAFile the CA that signed it; one is required with security, or with
	// a password.
	ServerThumbprint   string         `koanf:"server_thumbprint"`
	ServerCAFile       string         `koanf:"server_ca_file"`
	PublishingInterval time.Duration  `koanf:"publishing_interval"`
	SamplingInterval   time.Duration  `koanf:"sampling_interval"`
	QueueSize          uint32         `koanf:"queue_size"`
	Watchdog           time.Duration  `koanf:"watchdog"`
	SiteID             string         `koanf:"site_id"`
	Machines           []OPCUAMachine `koanf:"machines"`
}

// OPCUAMachine is a work unit whose values a server offers.
type OPCUAMachine struct {
	SiteID    string      `koanf:"site_id"`
	MachineID string      `koanf:"machine_id"`
	Nodes     []OPCUANode `koanf:"nodes"`
}

// OPCUANode is one node and the signal it becomes.
type OPCUANode struct {
	// Signal is the name; by default the last part of the node id.
	Signal string `koanf:"signal"`
	NodeID string `koanf:"node_id"`
	Unit   string `koanf:"unit"`
	// Map turns values into statuses (e.g. "1": Running): the node is then the
	// machine's state.
	Map map[string]string `koanf:"map"`
}

// Metrics is the listener of /metrics.
type Metrics struct {
	Listen string `koanf:"listen"`
}

// Readiness says what GET /readyz makes of connections to the floor.
type Readiness struct {
	// Adapters is what a connection that is down makes of the server: ignore, degraded
	// (the answer says so and stays 200) or fail (503).
	Adapters string `koanf:"adapters"`
}

// Log is how plantgate reports.
type Log struct {
	Level  string `koanf:"level"`
	Format string `koanf:"format"`
}

// Default returns the configuration of a server that is told nothing.
func Default() Config {
	return Config{
		Server: Server{
			Listen:      ":8443",
			TLS:         ServerTLS{Mode: TLSSelfSigned, Folder: "data/tls"},
			StopTimeout: 15 * time.Second,
			MaxBody:     16 << 20,
		},
		Store: Store{
			DSN: "sqlite:data/plantgate.db", Readers: 4,
			Log:       StoreLog{MaxRecords: 1_500_000, MaxBytes: 1 << 30, Delay: 2 * time.Second},
			SQLServer: SQLServer{Connections: 16, Writers: 2},
		},
		Site:      Site{ID: "main", TimeZone: "UTC"},
		Equipment: Equipment{Unknown: UnknownRegister},
		Data: Data{
			MaxFuture:    5 * time.Minute,
			DedupeWindow: 7 * 24 * time.Hour,
			MaxRecord:    256 << 10,
			MaxBatch:     10_000,
			MaxDepth:     32,
			Queue:        50_000,
			QueueBytes:   64 << 20,
		},
		MQTT:      MQTT{Broker: Broker{Listen: "127.0.0.1:1883", MaxPacket: 1 << 20, MaxClients: 1000, Persistence: BrokerPersistence{Enabled: true}, Limits: defaultBrokerLimits()}},
		Metrics:   Metrics{Listen: "127.0.0.1:9464"},
		Readiness: Readiness{Adapters: ReadinessDegraded},
		Log:       Log{Level: "info", Format: "text"},
	}
}

// The modes of server.tls.mode.
const (
	TLSSelfSigned = "self-signed"
	TLSFiles      = "files"
	TLSOff        = "off"
)

// What becomes of data of unknown machines (equipment.unknown).
const (
	UnknownRegister   = "register"
	UnknownQuarantine = "quarantine"
	UnknownRefuse     = "refuse"
)

// What a connection that is down makes of the server (readiness.adapters).
const (
	ReadinessIgnore   = "ignore"
	ReadinessDegraded = "degraded"
	ReadinessFail     = "fail"
)

// The payload formats of a subscription.
const (
	FormatAuto     = "auto"
	FormatFlat     = "flat"
	FormatEnvelope = "envelope"
	FormatSnapshot = "snapshot"
	FormatValue    = "value"
	FormatJSON     = mapping.JSON
	FormatCSV      = mapping.CSV
	FormatNumber   = mapping.Number
	FormatText     = mapping.Text
)

// ApplyElementDefaults fills what the elements of lists leave out. Load does it;
// it is needed again only for elements that are added afterwards.
func (c *Config) ApplyElementDefaults() {
	for i := range c.Sites {
		orDefault(&c.Sites[i].TimeZone, "UTC")
	}
	fillSubscriptions(c.MQTT.Broker.Subscriptions)
	fillPublish(c.MQTT.Broker.Publish)
	for i := range c.MQTT.Connections {
		m := &c.MQTT.Connections[i]
		orDefault(&m.ClientID, "plantgate-"+m.Name)
		orDefault(&m.KeepAlive, 30*time.Second)
		orDefault(&m.TLS.MinVersion, TLS12)
		orDefault(&m.Presence.Online, "online")
		orDefault(&m.Presence.Offline, "offline")
		orDefault(&m.Sparkplug.HostID, "plantgate")
		orDefault(&m.Sparkplug.NodeMachine, "{node}")
		orDefault(&m.Sparkplug.DeviceMachine, "{node}.{device}")
		orDefault(&m.Sparkplug.RebirthInterval, 10*time.Second)
		fillSubscriptions(m.Subscriptions)
		fillPublish(m.Publish)
	}
	for i := range c.OPCUA.Connections {
		o := &c.OPCUA.Connections[i]
		orDefault(&o.SecurityPolicy, "None")
		if o.SecurityPolicy == "None" {
			orDefault(&o.SecurityMode, "None")
		} else {
			orDefault(&o.SecurityMode, "SignAndEncrypt")
		}
		orDefault(&o.PublishingInterval, 500*time.Millisecond)
		orDefault(&o.SamplingInterval, o.PublishingInterval)
		orDefault(&o.QueueSize, 100)
		orDefault(&o.Watchdog, 5*time.Second)
	}
}

func fillSubscriptions(list []Subscription) {
	for i := range list {
		orDefault(&list[i].Format, FormatAuto)
		if list[i].QoS == nil {
			one := 1
			list[i].QoS = &one
		}
	}
}

func orDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
