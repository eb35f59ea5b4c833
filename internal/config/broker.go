package config

import (
	"fmt"
	"os"
	"strings"
	"time"

	"plantgate/internal/mqtt/topic"
	"plantgate/internal/passwords"
)

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

// BrokerPersistence says where the own broker keeps sessions and retained messages.
type BrokerPersistence struct {
	// Enabled is off for a broker whose sessions end with the program.
	Enabled bool `koanf:"enabled"`
	// Folder is where they stand; "" is beside the database, or beside the log of a
	// server that shares one.
	Folder string `koanf:"folder"`
}

// BrokerLimits are what clients of the own broker may use. Each must be given; 0 is no
// limit only for ConnectsPerSecond.
type BrokerLimits struct {
	// ConnectTimeout is how long a client may take for TLS and CONNECT.
	ConnectTimeout time.Duration `koanf:"connect_timeout"`
	// ConnectsPerSecond bounds the connections from one address.
	ConnectsPerSecond int `koanf:"connects_per_second"`
	// MaxInflight is how many messages of QoS 1 and 2 may be under way to one client.
	MaxInflight int `koanf:"max_inflight"`
	// ReceiveMaximum is how many publications of QoS 2 one client may have begun.
	ReceiveMaximum int `koanf:"receive_maximum"`
	// MaxSubscriptions is for one client.
	MaxSubscriptions int `koanf:"max_subscriptions"`
	// MaxTopicLevels and MaxTopicLength (bytes) are for topics and filters.
	MaxTopicLevels int `koanf:"max_topic_levels"`
	MaxTopicLength int `koanf:"max_topic_length"`
	// MaxQueued and MaxQueuedBytes are what waits for one session, MaxBytes for all.
	MaxQueued      int `koanf:"max_queued"`
	MaxQueuedBytes int `koanf:"max_queued_bytes"`
	MaxBytes       int `koanf:"max_bytes"`
	// MaxRetained and MaxRetainedBytes are for all retained messages.
	MaxRetained      int `koanf:"max_retained"`
	MaxRetainedBytes int `koanf:"max_retained_bytes"`
	// MaxSessions is for sessions that outlive their connections.
	MaxSessions int `koanf:"max_sessions"`
	// SessionExpiry is how long the session of an absent client is kept at most.
	SessionExpiry time.Duration `koanf:"session_expiry"`
}

func defaultBrokerLimits() BrokerLimits {
	return BrokerLimits{
		ConnectTimeout: 10 * time.Second, ConnectsPerSecond: 100,
		MaxInflight: 100, ReceiveMaximum: 1024, MaxSubscriptions: 1000,
		MaxTopicLevels: 32, MaxTopicLength: 1024,
		MaxQueued: 100_000, MaxQueuedBytes: 64 << 20, MaxBytes: 256 << 20,
		MaxRetained: 10_000, MaxRetainedBytes: 64 << 20,
		MaxSessions: 1000, SessionExpiry: 24 * time.Hour,
	}
}

// maxSessionExpiry is the longest that fits into the 32 bits of MQTT 5 without being
// "never" (3.1.2.11.2).
const maxSessionExpiry = (1<<32 - 2) * time.Second

// maxState bounds what waits for all sessions and the retained messages together, in
// bytes: it is in memory, and the log of sessions, which is bounded, has to have room for
// it several times.
const maxState = 512 << 20

func (l BrokerLimits) validate(key string, maxPacket int) []Fault {
	var f faults
	between := func(member string, value, least, most int) {
		if value < least || value > most {
			f.add(key+"."+member, "must be from %d to %d", least, most)
		}
	}
	if l.ConnectTimeout < 100*time.Millisecond || l.ConnectTimeout > 10*time.Minute {
		f.add(key+".connect_timeout", "must be from 100ms to 10m")
	}
	between("connects_per_second", l.ConnectsPerSecond, 0, 1_000_000)
	between("max_inflight", l.MaxInflight, 1, 65535)
	between("receive_maximum", l.ReceiveMaximum, 1, 65535)
	between("max_subscriptions", l.MaxSubscriptions, 1, 1_000_000)
	between("max_topic_levels", l.MaxTopicLevels, 1, 1000)
	between("max_topic_length", l.MaxTopicLength, 1, 65535)
	between("max_queued", l.MaxQueued, 1, 10_000_000)
	between("max_queued_bytes", l.MaxQueuedBytes, maxPacket, maxState)
	between("max_bytes", l.MaxBytes, l.MaxQueuedBytes, maxState)
	between("max_retained", l.MaxRetained, 0, 10_000_000)
	between("max_retained_bytes", l.MaxRetainedBytes, 0, maxState)
	if l.MaxBytes <= maxState && l.MaxRetainedBytes <= maxState && l.MaxBytes+l.MaxRetainedBytes > maxState {
		f.add(key+".max_bytes", "and max_retained_bytes together must be at most %d: all of it is kept in memory, and written as a whole", maxState)
	}
	between("max_sessions", l.MaxSessions, 0, 1_000_000)
	if l.SessionExpiry < time.Second || l.SessionExpiry > maxSessionExpiry {
		f.add(key+".session_expiry", "must be from 1s to %s", maxSessionExpiry)
	}
	return f.list
}

func (u BrokerUser) validate(key string) []Fault {
	var f faults
	given := 0
	for _, p := range []string{u.Password, u.PasswordFile, u.PasswordHash} {
		if p != "" {
			given++
		}
	}
	if given != 1 {
		f.add(key+".password", "one of password_hash, password_file and password is required")
	}
	if u.PasswordHash != "" {
		_, err := passwords.Parse(u.PasswordHash)
		f.check(key+".password_hash", err)
	}
	if passwords.IsHash(u.Password) {
		f.add(key+".password", "looks like a hash, which belongs in password_hash")
	}
	if u.Publish != nil && u.Subscribe != nil && len(u.Publish)+len(u.Subscribe) == 0 {
		f.add(key+".publish", "is empty, and subscribe too: the user could do nothing; leave both out for everything")
	}
	for _, list := range []struct {
		name    string
		filters []string
	}{{"publish", u.Publish}, {"subscribe", u.Subscribe}} {
		for i, filter := range list.filters {
			at := fmt.Sprintf("%s.%s[%d]", key, list.name, i)
			f.check(at, CheckACL(filter))
			if list.name == "publish" && strings.HasPrefix(filter, "$") {
				f.add(at, "topics that begin with $ are the broker's own: nobody publishes to them")
			}
		}
	}
	return f.list
}

// Placeholders that fill a whole level of the filters of a user's rights.
const (
	ACLUsername = "{username}"
	ACLClientID = "{client_id}"
)

// CheckACL tells what is wrong with a topic filter of a user's rights, or nil.
func CheckACL(filter string) error {
	plain := strings.Split(filter, "/")
	for i, level := range plain {
		switch {
		case level == ACLUsername || level == ACLClientID:
			plain[i] = "+"
		case strings.ContainsAny(level, "{}"):
			return fmt.Errorf("%q is neither {username} nor {client_id}, which fill a whole level: rights have no captures", level)
		}
	}
	_, err := topic.Parse(strings.Join(plain, "/"))
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(strings.ToLower(filter), "$share"):
		return fmt.Errorf("is without $share: rights are those of the filter behind it")
	}
	return nil
}

// Warnings are what is allowed and should be changed, by key.
func (c *Config) Warnings() []Fault {
	if !c.MQTT.Broker.Enabled {
		return nil
	}
	var f faults
	for i, u := range c.MQTT.Broker.Users {
		at := fmt.Sprintf("mqtt.broker.users[%d]", i)
		switch {
		case u.Password != "":
			f.add(at+".password", "is in plain text: plantgate passwords hash makes a password_hash of it")
		case u.PasswordFile != "":
			if b, err := os.ReadFile(u.PasswordFile); err == nil && !passwords.IsHash(string(b)) {
				f.add(at+".password_file", "holds a password in plain text: plantgate passwords hash makes a hash of it")
			}
		}
	}
	if b := c.MQTT.Broker; b.AllowPlaintext && b.TLS.CertFile == "" {
		f.add("mqtt.broker.allow_plaintext", "passwords travel in plain text")
	}
	if !c.MQTT.Broker.Persistence.Enabled {
		f.add("mqtt.broker.persistence.enabled", "sessions and retained messages end with the program")
	}
	return f.list
}
