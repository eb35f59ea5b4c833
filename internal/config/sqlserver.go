package config

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"plantgate/internal/mes"
)

// SQLServer are the settings of a database on SQL Server.
type SQLServer struct {
	// CAFile is a bundle of certificates (PEM) of the authorities to trust; "" trusts
	// those of the system.
	CAFile string `koanf:"ca_file"`
	// AllowInsecure takes a connection that is not encrypted, or whose server is not
	// checked.
	AllowInsecure bool `koanf:"allow_insecure"`
	// Connections bounds those of this server to the database.
	Connections int `koanf:"connections"`
	// Writers is how many commits of machine data are made at once, each of its own part
	// of the machines.
	Writers int `koanf:"writers"`
	// Server is the name of this server among those that share the database; "" is the
	// name of the host.
	Server string `koanf:"server"`
}

const sqlServerScheme = "sqlserver:"

// IsSQLServer tells whether the store is SQL Server.
func (s *Store) IsSQLServer() bool { return strings.HasPrefix(s.DSN, sqlServerScheme) }

// ServerName is the name of this server among those that share the database.
func (s *Store) ServerName() string {
	if s.SQLServer.Server != "" {
		return s.SQLServer.Server
	}
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// otherConnections are those that serve neither queries nor commits of machine data:
// look-ups, leases, what follows from records, the drain of the log.
const otherConnections = 8

// maxSQLServerWriters is more than helps anybody: each takes a connection.
const maxSQLServerWriters = 32

// Writers is how many commits of machine data are made at once. An embedded database
// makes one after the other.
func (s *Store) Writers() int {
	if s.IsSQLServer() {
		return s.SQLServer.Writers
	}
	return 1
}

// RedactedDSN is the DSN without the password, for people to read.
func (s *Store) RedactedDSN() string {
	if !s.IsSQLServer() {
		return s.DSN
	}
	u, err := url.Parse(s.DSN)
	if err != nil {
		return sqlServerScheme + "//…"
	}
	q := u.Query()
	for name := range q {
		if strings.Contains(strings.ToLower(name), "password") {
			q.Set(name, "xxxxx")
		}
	}
	u.RawQuery = q.Encode()
	return u.Redacted()
}

// parameter returns a parameter of the query, whose name may be written in any case.
func parameter(q url.Values, name string) (value string, given bool) {
	for key, values := range q {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0], true
		}
	}
	return "", false
}

// validateSQLServer checks what a DSN says of itself. A password and every record cross
// the network: what leaves them open to others is refused unless it is asked for.
func (s *Store) validateSQLServer() Faults {
	const key = "store.dsn"
	u, err := url.Parse(s.DSN)
	if err != nil {
		return Faults{{key, "is not a URL such as sqlserver://user@host:1433?database=plantgate"}}
	}
	q := u.Query()
	var f Faults
	if u.Hostname() == "" {
		f = append(f, Fault{key, "names no host"})
	}
	if database, _ := parameter(q, "database"); database == "" {
		f = append(f, Fault{key, "names no database (?database=plantgate)"})
	}
	if n := len(s.ServerName()); n > mes.MaxIDLength {
		f = append(f, Fault{"store.sqlserver.server", fmt.Sprintf("must have at most %d bytes, not %d", mes.MaxIDLength, n)})
	}
	if s.ServerName() == "" {
		f = append(f, Fault{"store.sqlserver.server", "is required: the host has no name"})
	}
	f = append(f, s.validateKerberos(u)...)
	f = append(f, atLeast("store.sqlserver.connections", s.SQLServer.Connections, s.Readers+s.SQLServer.Writers+otherConnections)...)
	if w := s.SQLServer.Writers; w < 1 || w > maxSQLServerWriters {
		f = append(f, Fault{"store.sqlserver.writers", fmt.Sprintf("must be from 1 to %d", maxSQLServerWriters)})
	}
	if s.SQLServer.CAFile != "" {
		if _, err := os.Stat(s.SQLServer.CAFile); err != nil {
			f = append(f, Fault{"store.sqlserver.ca_file", "can't be read: " + err.Error()})
		}
	}
	if s.SQLServer.AllowInsecure {
		return f
	}
	if encrypt, given := parameter(q, "encrypt"); given && !isOn(encrypt) {
		f = append(f, Fault{key, "encrypt=" + encrypt + " would send the password's session and every record in the open; " +
			"leave it out, or set store.sqlserver.allow_insecure where nobody else can listen"})
	}
	if trust, given := parameter(q, "trustservercertificate"); given && isOn(trust) {
		f = append(f, Fault{key, "TrustServerCertificate would take any server for the right one, and give it the password; " +
			"name its authority in store.sqlserver.ca_file, or set store.sqlserver.allow_insecure"})
	}
	return f
}

// isOn tells whether a value of encrypt, or of TrustServerCertificate, is a yes.
func isOn(value string) bool {
	switch strings.ToLower(value) {
	case "true", "yes", "1", "t", "mandatory", "strict":
		return true
	default:
		return false
	}
}

// ConnectionString is the DSN with what the other settings say: the connection is
// encrypted and the server checked unless the DSN says otherwise.
func (s *Store) ConnectionString() string {
	if !s.IsSQLServer() {
		return s.DSN
	}
	u, err := url.Parse(s.DSN)
	if err != nil {
		return s.DSN
	}
	if s.Password != "" {
		u.User = url.UserPassword(u.User.Username(), s.Password)
	}
	q := u.Query()
	set := func(name, value string) {
		if _, given := parameter(q, name); !given && value != "" {
			q.Set(name, value)
		}
	}
	set("encrypt", "true")
	set("certificate", s.SQLServer.CAFile)
	set("app name", "plantgate")
	// A server that does not answer is away; there is a log for as long as that takes.
	set("dial timeout", "5")
	set("keepAlive", "15")
	u.RawQuery = q.Encode()
	return u.String()
}
