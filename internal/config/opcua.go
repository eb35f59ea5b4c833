package config

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"plantgate/internal/mes"
)

// OPCUA holds the connections to OPC UA servers.
type OPCUA struct {
	// TrustFolder has certificates of servers, CAs and revocation lists; "" is the folder
	// opcua in server.tls.folder.
	TrustFolder string            `koanf:"trust_folder"`
	Connections []OPCUAConnection `koanf:"connections"`
}

// OPCUAConnection is a supervised subscription to one server.
type OPCUAConnection struct {
	Name     string `koanf:"name"`
	Endpoint string `koanf:"endpoint"`
	// Required makes the server unready while the connection is down.
	Required bool `koanf:"required"`
	// SecurityPolicy is None, Basic256Sha256, Aes128_Sha256_RsaOaep,
	// Aes256_Sha256_RsaPss or best; SecurityMode None, Sign or SignAndEncrypt.
	SecurityPolicy string `koanf:"security_policy"`
	SecurityMode   string `koanf:"security_mode"`
	Username       string `koanf:"username"`
	Password       string `koanf:"password"`
	PasswordFile   string `koanf:"password_file"`
	// UserCertFile and UserKeyFile (PEM) are by what the user proves who it is, instead of
	// a password.
	UserCertFile string `koanf:"user_cert_file"`
	UserKeyFile  string `koanf:"user_key_file"`
	// CertFile and KeyFile are the client's own application certificate (PEM).
	CertFile string `koanf:"cert_file"`
	KeyFile  string `koanf:"key_file"`
	// ServerThumbprint is the SHA-256 of the server's certificate (hex), or
	// ServerCAFile the CA that signed it. Without either the trust folder and people's
	// approval decide.
	ServerThumbprint   string        `koanf:"server_thumbprint"`
	ServerCAFile       string        `koanf:"server_ca_file"`
	PublishingInterval time.Duration `koanf:"publishing_interval"`
	SamplingInterval   time.Duration `koanf:"sampling_interval"`
	QueueSize          uint32        `koanf:"queue_size"`
	// MaxNodesPerSubscription is how many nodes a session has; a connection with more has
	// several sessions.
	MaxNodesPerSubscription int           `koanf:"max_nodes_per_subscription"`
	Watchdog                time.Duration `koanf:"watchdog"`
	SiteID                  string        `koanf:"site_id"`
	// Discover finds machines by companion specifications (the constants Discover…).
	Discover []string `koanf:"discover"`
	// MaxNodes bounds what a pattern leads to, and all that is discovered; BrowseInterval
	// is how often both are looked for anew.
	MaxNodes       int            `koanf:"max_nodes"`
	BrowseInterval time.Duration  `koanf:"browse_interval"`
	Machines       []OPCUAMachine `koanf:"machines"`
	Bridge         OPCUABridge    `koanf:"bridge"`
	History        OPCUAHistory   `koanf:"history"`
	// Writable and Callable are what callers of the API may write and call; nothing unless
	// it is listed.
	Writable []OPCUAWritable `koanf:"writable"`
	Callable []OPCUACallable `koanf:"callable"`
	// Acknowledge lets callers of the API acknowledge and confirm alarms, and comment on
	// them.
	Acknowledge bool `koanf:"acknowledge"`
}

// Secured tells whether messages are signed, at least.
func (o OPCUAConnection) Secured() bool { return o.Mode() != ModeNone }

// maxNodesPerSubscription is what a session has unless configured.
const maxNodesPerSubscription = 2000

// NodesPerSubscription is the most nodes of one session.
func (o OPCUAConnection) NodesPerSubscription() int {
	return cmp.Or(o.MaxNodesPerSubscription, maxNodesPerSubscription)
}

// Policy is the security policy, None unless configured.
func (o OPCUAConnection) Policy() string { return cmp.Or(o.SecurityPolicy, PolicyNone) }

// Policies are the security policies that may be spoken, the preferred first.
func (o OPCUAConnection) Policies() []string {
	if o.Policy() == PolicyBest {
		return []string{PolicyAes256Sha256RsaPss, PolicyBasic256Sha256, PolicyAes128Sha256RsaOaep}
	}
	return []string{o.Policy()}
}

// Mode is the security mode, None unless configured.
func (o OPCUAConnection) Mode() string { return cmp.Or(o.SecurityMode, ModeNone) }

// OPCUAMachine is a work unit whose values a server offers.
type OPCUAMachine struct {
	SiteID string `koanf:"site_id"`
	// MachineID may have captures of the paths of all nodes, such as {machine}.
	MachineID string      `koanf:"machine_id"`
	Nodes     []OPCUANode `koanf:"nodes"`
	// Events are what the machine's events are read from.
	Events []OPCUAEvents `koanf:"events"`
}

// The security policies (OPC 10000-7) that connections may use.
const (
	PolicyNone                = "None"
	PolicyBasic256Sha256      = "Basic256Sha256"
	PolicyAes128Sha256RsaOaep = "Aes128_Sha256_RsaOaep"
	PolicyAes256Sha256RsaPss  = "Aes256_Sha256_RsaPss"
	// PolicyBest is the strongest of them, but None, that the server offers.
	PolicyBest = "best"
)

// The message security modes of OPC 10000-4, 7.20.
const (
	ModeNone           = "None"
	ModeSign           = "Sign"
	ModeSignAndEncrypt = "SignAndEncrypt"
)

const (
	minPublishingInterval = 10 * time.Millisecond
	maxOPCUAQueueSize     = 100_000
)

// nodeIDForm is the text form of a NodeId (OPC 10000-6, 5.3.1.10) with an
// optional namespace, by index or by URI.
var nodeIDForm = regexp.MustCompile(`(?s)^(?:ns=(\d{1,5});|nsu=([^;]+);)?([isgb])=(.+)$`)

// CheckNodeID tells what is wrong with the text form of a node id, or nil.
func CheckNodeID(id string) error {
	parts := nodeIDForm.FindStringSubmatch(id)
	if parts == nil {
		return errors.New("must look like ns=1;s=Objects/MyFolder/MyVariable, ns=2;i=1001 or nsu=urn:example;s=Name")
	}
	if ns := parts[1]; ns != "" {
		if _, err := strconv.ParseUint(ns, 10, 16); err != nil {
			return errors.New("has a namespace index above 65535")
		}
	}
	identifier := parts[4]
	switch parts[3] {
	case "i":
		if _, err := strconv.ParseUint(identifier, 10, 32); err != nil {
			return errors.New("has a numeric identifier that is no number from 0 to 4294967295")
		}
	case "g":
		b, err := hex.DecodeString(strings.ReplaceAll(identifier, "-", ""))
		if err != nil || len(b) != 16 {
			return errors.New("has an identifier that is no GUID")
		}
	case "b":
		if _, err := base64.StdEncoding.DecodeString(identifier); err != nil {
			return errors.New("has an opaque identifier that is not base64")
		}
	}
	return nil
}

// validate returns every fault of the OPC UA section.
func (o OPCUA) validate() []Fault {
	var all []Fault
	names := map[string]bool{}
	for i, c := range o.Connections {
		key := fmt.Sprintf("opcua.connections[%d]", i)
		for _, f := range c.Validate() {
			all = append(all, Fault{key + "." + f.Key, f.Detail})
		}
		if names[c.Name] && c.Name != "" {
			all = append(all, Fault{key + ".name", fmt.Sprintf("%q names another connection already", c.Name)})
		}
		names[c.Name] = true
	}
	return all
}

// Validate returns every fault of the connection, with keys relative to it. It
// does not read files and does not touch the network.
func (o OPCUAConnection) Validate() []Fault {
	f := faults{}
	f.check("name", mes.CheckID(o.Name))
	o.validateEndpoint(&f)
	o.validateSecurity(&f)
	o.validateIntervals(&f)
	o.validateMachines(&f)
	o.validateBridge(&f)
	o.validateAllowed(&f)
	o.History.validate(&f)
	return f.list
}

func (o OPCUAConnection) validateEndpoint(f *faults) {
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil || u.Scheme != "opc.tcp" || u.Hostname() == "":
		f.add("endpoint", "must look like opc.tcp://host:4840")
	case u.User != nil:
		f.add("endpoint", "must not hold credentials; use username and password_file")
	}
}

func (o OPCUAConnection) validateSecurity(f *faults) {
	policies := []string{PolicyNone, PolicyBasic256Sha256, PolicyAes128Sha256RsaOaep, PolicyAes256Sha256RsaPss, PolicyBest}
	modes := []string{ModeNone, ModeSign, ModeSignAndEncrypt}
	if slices.Contains([]string{"Basic128Rsa15", "Basic256"}, o.SecurityPolicy) {
		f.add("security_policy", "%s is no longer considered secure (OPC 10000-7): use another, and have the server offer it", o.SecurityPolicy)
	} else if !slices.Contains(policies, o.SecurityPolicy) {
		f.add("security_policy", "must be one of %s, not %q", strings.Join(policies, ", "), o.SecurityPolicy)
	}
	switch {
	case !slices.Contains(modes, o.SecurityMode):
		f.add("security_mode", "must be one of %s, not %q", strings.Join(modes, ", "), o.SecurityMode)
	case (o.SecurityPolicy == PolicyNone) != (o.SecurityMode == ModeNone):
		f.add("security_mode", "None goes with the policy None only")
	}
	if o.ServerThumbprint != "" {
		if _, err := ParseThumbprint(o.ServerThumbprint); err != nil {
			f.check("server_thumbprint", err)
		}
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		f.add("cert_file", "cert_file and key_file belong together")
	}
	if (o.UserCertFile == "") != (o.UserKeyFile == "") {
		f.add("user_cert_file", "user_cert_file and user_key_file belong together")
	}
	if o.UserCertFile != "" && o.Username != "" {
		f.add("user_cert_file", "give username or user_cert_file, not both")
	}
	if o.Password != "" && o.PasswordFile != "" {
		f.add("password_file", "give password or password_file, not both")
	}
	if o.Username == "" && (o.Password != "" || o.PasswordFile != "") {
		f.add("username", "is required with a password")
	}
}

func (o OPCUAConnection) validateIntervals(f *faults) {
	if o.PublishingInterval < minPublishingInterval {
		f.add("publishing_interval", "must be at least %s, not %s", minPublishingInterval, o.PublishingInterval)
	}
	if o.SamplingInterval < 0 {
		f.add("sampling_interval", "must not be negative")
	}
	if o.QueueSize < 1 || o.QueueSize > maxOPCUAQueueSize {
		f.add("queue_size", "must be 1 to %d, not %d", maxOPCUAQueueSize, o.QueueSize)
	}
	if o.MaxNodesPerSubscription < 0 {
		f.add("max_nodes_per_subscription", "must be at least 1, or 0 for %d", maxNodesPerSubscription)
	}
	if o.Watchdog < 3*o.PublishingInterval {
		f.add("watchdog", "must be at least three publishing intervals (%s), not %s", 3*o.PublishingInterval, o.Watchdog)
	}
}

// ParseThumbprint reads a SHA-256 in hexadecimal, with or without colons.
func ParseThumbprint(text string) ([32]byte, error) {
	var sum [32]byte
	b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(text))
	if err != nil || len(b) != len(sum) {
		return sum, errors.New("must be a SHA-256 in hexadecimal (64 digits, colons allowed)")
	}
	copy(sum[:], b)
	return sum, nil
}
