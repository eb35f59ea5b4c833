// Package brokertest starts the MQTT brokers that plants run, from their
// packages, for tests and benchmarks: each with free loopback ports, an own folder
// and a user, ended with the test. A test that needs a broker fails where it is not
// installed; it is never skipped.
package brokertest

import "testing"

// Names of the brokers.
const (
	NameMosquitto = "mosquitto"
	NameRabbitMQ  = "rabbitmq"
)

// Host is what a broker needs of who starts it: a testing.TB, or a program.
type Host interface {
	Helper()
	TempDir() string
	// Cleanup registers what ends the broker.
	Cleanup(end func())
	// Fatal and Fatalf do not return.
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// Settings are how a broker differs from the usual one. The zero value is the usual one.
type Settings struct {
	// Window is how many messages it sends ahead of acknowledgements; 0 is its default.
	Window int
	// TLS makes it listen with TLS too.
	TLS *TLS
	// Conf, if not nil, writes the whole configuration file, such as one that is shipped; it
	// listens on both ports.
	Conf func(Places) string
	// Users of Mosquitto besides that of the test, with their passwords.
	Users map[string]string
	// Plugins are enabled in RabbitMQ besides that of MQTT.
	Plugins []string
}

// TLS are files (PEM) of a listener with TLS.
type TLS struct {
	CAFile, CertFile, KeyFile string
	// RequireClient makes it want a certificate of a client, of that CA.
	RequireClient bool
	// Only12 makes it speak TLS 1.2 and nothing newer.
	Only12 bool
}

// Places are where a broker of a test may listen and write.
type Places struct {
	Folder        string
	Port, TLSPort int
	// Passwords is the password file of Mosquitto, with the user of the test.
	Passwords string
}

// Mosquitto starts Eclipse Mosquitto for a test.
func Mosquitto(t testing.TB) *Broker {
	t.Helper()
	return mosquitto(t, Settings{})
}

// RabbitMQ starts RabbitMQ for a test.
func RabbitMQ(t testing.TB) *Broker {
	t.Helper()
	return rabbitMQ(t, Settings{})
}

// Start starts the broker of that name.
func Start(t Host, name string) *Broker {
	t.Helper()
	return StartWith(t, name, Settings{})
}

// StartWith starts the broker of that name with settings.
func StartWith(t Host, name string, s Settings) *Broker {
	t.Helper()
	switch name {
	case NameMosquitto:
		return mosquitto(t, s)
	case NameRabbitMQ:
		return rabbitMQ(t, s)
	}
	t.Fatalf("no broker is named %q", name)
	return nil
}

// Installed tells whether the programs of the broker of that name are there.
func Installed(name string) bool {
	switch name {
	case NameMosquitto:
		return find(mosquittoPaths...) != "" && find(passwdPaths...) != ""
	case NameRabbitMQ:
		return find(rabbitPaths...) != "" && find(epmdPaths...) != ""
	}
	return false
}

// Where packages put programs, besides the path.
var (
	mosquittoPaths = []string{"mosquitto", "/usr/sbin/mosquitto"}
	passwdPaths    = []string{"mosquitto_passwd", "/usr/bin/mosquitto_passwd"}
	// The program on the path is a wrapper that changes the user; behind it is
	// the one that takes its settings from the environment.
	rabbitPaths = []string{"/usr/lib/rabbitmq/bin/rabbitmq-server"}
	epmdPaths   = []string{"epmd"}
)
