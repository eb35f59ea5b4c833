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
		orDefault(&o.MaxNodes, defaultOPCUANodes)
		orDefault(&o.BrowseInterval, defaultBrowseInterval)
		orDefault(&o.MaxNodesPerSubscription, maxNodesPerSubscription)
		orDefault(&o.History.Mode, HistoryAuto)
		orDefault(&o.History.MaxAge, defaultHistoryMaxAge)
		orDefault(&o.History.ValuesPerNode, defaultValuesPerNode)
		o.Bridge.fill()
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
