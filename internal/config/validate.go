package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"plantgate/internal/mes"
)

// minBootstrapKey is the least length of the bootstrap key, in bytes.
const minBootstrapKey = 16

// Validate returns every fault of the configuration at once.
func (c *Config) Validate() Faults {
	var f Faults
	f = append(f, c.Server.validate()...)
	f = append(f, c.Auth.validate()...)
	f = append(f, c.validateStore()...)
	f = append(f, c.validateSites()...)
	f = append(f, c.Data.validate()...)
	f = append(f, oneOf("equipment.unknown", c.Equipment.Unknown, UnknownRegister, UnknownQuarantine, UnknownRefuse)...)
	f = append(f, c.MQTT.validate()...)
	f = append(f, c.validatePublishing()...)
	f = append(f, c.OPCUA.validate()...)
	f = append(f, c.validateBridges()...)
	if c.Metrics.Listen != "" {
		f = append(f, address("metrics.listen", c.Metrics.Listen)...)
	}
	f = append(f, oneOf("readiness.adapters", c.Readiness.Adapters, ReadinessIgnore, ReadinessDegraded, ReadinessFail)...)
	f = append(f, oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")...)
	f = append(f, oneOf("log.format", c.Log.Format, "text", "json")...)
	return f
}

func (s Server) validate() Faults {
	f := address("server.listen", s.Listen)
	f = append(f, oneOf("server.tls.mode", s.TLS.Mode, TLSSelfSigned, TLSFiles, TLSOff)...)
	switch s.TLS.Mode {
	case TLSOff:
		if !s.AllowPlaintext {
			f = append(f, Fault{"server.tls.mode", "off sends API keys in plain text; set server.allow_plaintext: true if that is meant"})
		}
	case TLSFiles:
		f = append(f, required("server.tls.cert_file", s.TLS.CertFile)...)
		f = append(f, required("server.tls.key_file", s.TLS.KeyFile)...)
	case TLSSelfSigned:
		f = append(f, required("server.tls.folder", s.TLS.Folder)...)
	}
	f = append(f, positive("server.stop_timeout", s.StopTimeout)...)
	f = append(f, atLeast("server.max_body", s.MaxBody, 1024)...)
	for i, block := range s.TrustedProxies {
		if _, err := netip.ParsePrefix(block); err != nil {
			f = append(f, Fault{fmt.Sprintf("server.trusted_proxies[%d]", i), "must be a CIDR block such as 10.0.0.0/8"})
		}
	}
	f = append(f, atLeast("server.rate_limit.per_second", s.RateLimit.PerSecond, 0)...)
	return append(f, atLeast("server.rate_limit.burst", s.RateLimit.Burst, 0)...)
}

func (a Auth) validate() Faults {
	if a.BootstrapKey != "" && len(a.BootstrapKey) < minBootstrapKey {
		return Faults{{"auth.bootstrap_key", fmt.Sprintf("must have at least %d characters (PLANTGATE_API_KEY)", minBootstrapKey)}}
	}
	return nil
}

func (c *Config) validateStore() Faults {
	f := atLeast("store.readers", c.Store.Readers, 1)
	switch {
	case c.Store.IsSQLServer():
		f = append(f, c.Store.validateSQLServer()...)
	case !strings.HasPrefix(c.Store.DSN, "sqlite:") || c.Store.DSN == "sqlite:":
		f = append(f, Fault{"store.dsn", "must be sqlite:PATH or sqlserver://user@host:1433?database=NAME"})
	}
	f = append(f, atLeast("store.log.max_records", c.Store.Log.MaxRecords, 1)...)
	f = append(f, atLeast("store.log.max_bytes", c.Store.Log.MaxBytes, 1<<20)...)
	return append(f, positive("store.log.delay", c.Store.Log.Delay)...)
}

func (c *Config) validateSites() Faults {
	f := checkSite("site", c.Site)
	seen := map[string]bool{c.Site.ID: true}
	for i, s := range c.Sites {
		key := fmt.Sprintf("sites[%d]", i)
		f = append(f, checkSite(key, s)...)
		if seen[s.ID] {
			f = append(f, Fault{key + ".id", fmt.Sprintf("%q stands twice", s.ID)})
		}
		seen[s.ID] = true
	}
	return f
}

func checkSite(key string, s Site) Faults {
	var f Faults
	if err := mes.CheckID(s.ID); err != nil {
		f = append(f, Fault{key + ".id", err.Error()})
	}
	if _, err := time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "" || s.TimeZone == "Local" {
		f = append(f, Fault{key + ".timezone", fmt.Sprintf("must be an IANA time zone such as Europe/Berlin, not %q", s.TimeZone)})
	}
	return f
}

func (d Data) validate() Faults {
	f := positive("data.max_future", d.MaxFuture)
	f = append(f, positive("data.dedupe_window", d.DedupeWindow)...)
	f = append(f, atLeast("data.retention", d.Retention, 0)...)
	f = append(f, atLeast("data.max_record", d.MaxRecord, 256)...)
	f = append(f, atLeast("data.max_batch", d.MaxBatch, 1)...)
	f = append(f, atLeast("data.max_depth", d.MaxDepth, 1)...)
	f = append(f, atLeast("data.queue", d.Queue, 1)...)
	return append(f, atLeast("data.queue_bytes", d.QueueBytes, d.MaxRecord)...)
}

// readSecrets fills what is given as a file. Passwords of brokers and OPC UA
// servers stay in their files until they are used; here those only have to be
// readable.
func (c *Config) readSecrets() Faults {
	var f Faults
	read := func(key, path string, to *string) {
		if path == "" {
			return
		}
		b, err := os.ReadFile(path)
		if err != nil {
			f = append(f, Fault{key, "can't be read: " + err.Error()})
			return
		}
		*to = strings.TrimSpace(string(b))
	}
	read("auth.bootstrap_key_file", c.Auth.BootstrapKeyFile, &c.Auth.BootstrapKey)
	read("store.dsn_file", c.Store.DSNFile, &c.Store.DSN)
	read("store.password_file", c.Store.PasswordFile, &c.Store.Password)
	var unused string
	for i, u := range c.MQTT.Broker.Users {
		read(fmt.Sprintf("mqtt.broker.users[%d].password_file", i), u.PasswordFile, &unused)
	}
	for i, o := range c.OPCUA.Connections {
		read(fmt.Sprintf("opcua.connections[%d].password_file", i), o.PasswordFile, &unused)
	}
	return f
}

func required(key, value string) Faults {
	if value == "" {
		return Faults{{key, "is required"}}
	}
	return nil
}

func oneOf(key, value string, allowed ...string) Faults {
	if !slices.Contains(allowed, value) {
		return Faults{{key, fmt.Sprintf("must be one of %s, not %q", strings.Join(allowed, ", "), value)}}
	}
	return nil
}

func atLeast[T int | int64 | float64 | time.Duration](key string, value, least T) Faults {
	if value < least {
		return Faults{{key, fmt.Sprintf("must be at least %v", least)}}
	}
	return nil
}

func positive(key string, value time.Duration) Faults {
	if value <= 0 {
		return Faults{{key, "must be a positive duration such as 5s"}}
	}
	return nil
}

func address(key, value string) Faults {
	if _, _, err := net.SplitHostPort(value); err != nil {
		return Faults{{key, fmt.Sprintf("must be host:port or :port, not %q", value)}}
	}
	return nil
}
