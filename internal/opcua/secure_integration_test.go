//go:build integration

package opcua

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
	"plantgate/internal/opcua/trust"
)

// Passwords of the matrix, which nothing may tell.
const (
	rightPassword = "correct horse"
	wrongPassword = "wrong staple"
)

// matrix are servers of one maker with certificates of an authority, and what a client needs.
type matrix struct {
	p        *peer
	files    string // of the servers
	own      string // the folder of plantgate's own certificate, which they trust
	trusted  string // the trust folder
	ports    map[string]int
	ca       *issuer
	serverKy *rsa.PrivateKey
	told     *transcript
}

// transcript is all that is logged.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

// issuer signs certificates.
type issuer struct {
	key    *rsa.PrivateKey
	cert   *x509.Certificate
	serial int64
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	now := time.Now()
	i := &issuer{key: rsaKey(t), serial: 1}
	i.cert = i.sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "plant CA"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(48 * time.Hour), IsCA: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature, SubjectKeyId: []byte{1, 2, 3, 4},
	}, &i.key.PublicKey)
	return i
}

// sign is by the issuer, or by itself while there is none.
func (i *issuer) sign(t *testing.T, c *x509.Certificate, public *rsa.PublicKey) *x509.Certificate {
	t.Helper()
	i.serial++
	c.SerialNumber, c.BasicConstraintsValid = big.NewInt(i.serial), true
	by := i.cert
	if by == nil {
		by = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, public, i.key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// leaf is an application's certificate, or a user's, valid for d from yesterday.
func leaf(t *testing.T, uri string, d time.Duration) *x509.Certificate {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now().Add(-24 * time.Hour)
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: uri}, URIs: []*url.URL{u}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: from, NotAfter: from.Add(d), SubjectKeyId: []byte(uri),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
}

func write(t *testing.T, file string, content []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// pair writes NAME.pem and NAME.key.
func pair(t *testing.T, folder, name string, c *x509.Certificate, key *rsa.PrivateKey) (certFile, keyFile string) {
	t.Helper()
	return write(t, filepath.Join(folder, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})),
		write(t, filepath.Join(folder, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

const (
	twoDays  = 48 * time.Hour
	shortAgo = 23 * time.Hour // ended an hour ago
)

// newMatrix starts the servers: good, expired and stranger, whose certificate is for another
// application.
func newMatrix(t *testing.T, name, program, script string) *matrix {
	t.Helper()
	m := &matrix{files: t.TempDir(), own: t.TempDir(), trusted: t.TempDir(), ca: newIssuer(t), serverKy: rsaKey(t), ports: map[string]int{}, told: &transcript{}}
	command := []string{program, filepath.Join(peersFolder(t), script), m.files}
	var held []net.Listener
	for server, c := range map[string]*x509.Certificate{
		"good": leaf(t, "urn:plc", twoDays), "expired": leaf(t, "urn:plc", shortAgo), "stranger": leaf(t, "urn:stranger", twoDays),
	} {
		pair(t, m.files, server, m.ca.sign(t, c, &m.serverKy.PublicKey), m.serverKy)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l) // until all have a port
		m.ports[server] = l.Addr().(*net.TCPAddr).Port
		command = append(command, fmt.Sprintf("%s=%d", server, m.ports[server]))
	}
	for _, l := range held {
		_ = l.Close()
	}
	own, err := trust.ReadOwn(config.OPCUAConnection{}, m.own, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(m.files, "clients", "plantgate.der"), own.Leaf.Raw)
	m.client(t, "late", shortAgo, "clients")
	m.client(t, "unknown", twoDays, "")
	m.client(t, "user", twoDays, "users")
	write(t, filepath.Join(m.trusted, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.ca.cert.Raw}))
	m.p = &peer{name: name, command: command}
	t.Cleanup(m.p.kill)
	m.p.start(t)
	return m
}

// client makes the certificate of a client or user, which the servers know if there is a
// folder.
func (m *matrix) client(t *testing.T, name string, d time.Duration, known string) {
	t.Helper()
	self := &issuer{key: rsaKey(t)}
	c := self.sign(t, leaf(t, "urn:"+name, d), &self.key.PublicKey)
	pair(t, m.own, name, c, self.key)
	if known != "" {
		write(t, filepath.Join(m.files, known, name+".der"), c.Raw)
	}
}

func (m *matrix) file(name string) string { return filepath.Join(m.own, name) }

// config is of a connection that works.
func (m *matrix) config(server, policy, mode, user string) config.OPCUAConnection {
	cfg := peerConfig(fmt.Sprintf("opc.tcp://127.0.0.1:%d", m.ports[server]))
	cfg.SecurityPolicy, cfg.SecurityMode = policy, mode
	cfg.ServerCAFile = filepath.Join(m.trusted, "ca.pem")
	cfg.Machines[0].Nodes = []config.OPCUANode{{NodeID: "ns=1;s=Objects/MyFolder/MySynchronousVariable"}}
	switch user {
	case "password":
		cfg.Username, cfg.Password = "plantgate", rightPassword
	case "certificate":
		cfg.UserCertFile, cfg.UserKeyFile = m.file("user.pem"), m.file("user.key")
	}
	return cfg
}

// connect runs a connection; its clock is late by the given time.
func (m *matrix) connect(t *testing.T, cfg config.OPCUAConnection, trustFolder string, late time.Duration) (*Adapter, *opcuatest.Ingester) {
	t.Helper()
	now := func() time.Time { return time.Now().Add(-late) }
	to := opcuatest.NewIngester()
	a, err := newAdapter(cfg, Deps{
		Ingester: to, Logger: slog.New(slog.NewTextHandler(m.told, &slog.HandlerOptions{Level: slog.LevelDebug})), SiteID: "main", Folder: m.own,
		Judge: &trust.Judge{Folder: trustFolder, Now: now}, Now: now,
	}, defaultTiming())
	if err != nil {
		t.Fatal(err)
	}
	start(t, a)
	return a, to
}

// TestSecurityMatrix: every security policy, mode and kind of user brings values from
// servers of two makers; what is wrong is refused in words that say what to do, and no
// secret is told; a server with a new certificate of a trusted CA is read again at once.
func TestSecurityMatrix(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*testing.T) *matrix{
		"node-opcua": func(t *testing.T) *matrix { return newMatrix(t, "node-opcua", "node", "node-secure-server.js") },
		"asyncua": func(t *testing.T) *matrix {
			return newMatrix(t, "asyncua", pythonOfPeers(t), "asyncua_secure_server.py")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := begin(t)
			t.Run("connects", m.connects)
			t.Run("refused", m.refuses)
			m.changesCertificate(t)
			m.told.mu.Lock()
			defer m.told.mu.Unlock()
			text := m.told.text.String()
			if !strings.Contains(text, "subscribed") {
				t.Error("nothing was logged")
			}
			for _, secret := range []string{rightPassword, wrongPassword, "PRIVATE KEY", m.serverKy.D.String()} {
				if strings.Contains(text, secret) {
					t.Errorf("%q was logged", secret)
				}
			}
		})
	}
}

func (m *matrix) connects(t *testing.T) {
	for _, policy := range []string{config.PolicyBasic256Sha256, config.PolicyAes128Sha256RsaOaep, config.PolicyAes256Sha256RsaPss, config.PolicyBest} {
		for _, mode := range []string{config.ModeSign, config.ModeSignAndEncrypt} {
			for _, user := range []string{"anonymous", "password", "certificate"} {
				t.Run(policy+" "+mode+" "+user, func(t *testing.T) {
					t.Parallel()
					a, to := m.connect(t, m.config("good", policy, mode, user), "", 0)
					fresh(t, to, time.Time{})
					inState(t, a, mes.AdapterRunning, "")
					for _, use := range []mes.CertificateUse{mes.CertificateOfClient, mes.CertificateOfServer} {
						if a.status.certificate(use).IsZero() {
							t.Errorf("it is not told until when the certificate of the %s is valid", use)
						}
					}
				})
			}
		}
	}
}

func (m *matrix) refuses(t *testing.T) {
	good, err := os.ReadFile(filepath.Join(m.files, "good.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(good)
	server, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: server.SerialNumber, RevocationTime: time.Now()}},
	}, m.ca.cert, m.ca.key)
	if err != nil {
		t.Fatal(err)
	}
	revoked := filepath.Dir(filepath.Dir(write(t, filepath.Join(t.TempDir(), "crl", "plant.crl"), list)))
	other := write(t, filepath.Join(t.TempDir(), "other.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: newIssuer(t).cert.Raw}))
	for name, tc := range map[string]struct {
		server string
		folder string
		late   time.Duration
		change func(*config.OPCUAConnection)
		words  string
	}{
		"wrong password": {"good", "", 0, func(c *config.OPCUAConnection) { c.Username, c.Password = "plantgate", wrongPassword }, "check username and password"},
		"unknown user": {"good", "", 0, func(c *config.OPCUAConnection) {
			c.UserCertFile, c.UserKeyFile = m.file("unknown.pem"), m.file("unknown.key")
		}, "user_cert_file"},
		"expired user": {"good", "", 0, func(c *config.OPCUAConnection) {
			c.UserCertFile, c.UserKeyFile = m.file("late.pem"), m.file("late.key")
		}, "user_cert_file (CN=urn:late) expired on"},
		"unknown client":       {"good", "", 0, func(c *config.OPCUAConnection) { c.CertFile, c.KeyFile = m.file("unknown.pem"), m.file("unknown.key") }, "cert_file"},
		"expired client":       {"good", "", 0, func(c *config.OPCUAConnection) { c.CertFile, c.KeyFile = m.file("late.pem"), m.file("late.key") }, "cert_file (CN=urn:late) expired on"},
		"expired, say servers": {"good", "", 2 * time.Hour, func(c *config.OPCUAConnection) { c.CertFile, c.KeyFile = m.file("late.pem"), m.file("late.key") }, "cert_file"},
		"expired server":       {"expired", "", 0, nil, "renew it at the server"},
		"other application":    {"stranger", "", 0, nil, "have the server make a certificate for itself"},
		"other host":           {"good", "", 0, func(c *config.OPCUAConnection) { c.Endpoint = strings.Replace(c.Endpoint, "127.0.0.1", "localhost", 1) }, "localhost"},
		"other authority":      {"good", "", 0, func(c *config.OPCUAConnection) { c.ServerCAFile = other }, "set server_thumbprint"},
		"other thumbprint":     {"good", "", 0, func(c *config.OPCUAConnection) { c.ServerThumbprint = strings.Repeat("00", 32) }, "set server_thumbprint"},
		"revoked":              {"good", revoked, 0, nil, "have a new one made for the server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := m.config(tc.server, config.PolicyBasic256Sha256, config.ModeSignAndEncrypt, "anonymous")
			if tc.change != nil {
				tc.change(&cfg)
			}
			a, to := m.connect(t, cfg, tc.folder, tc.late)
			detail := refusedWith(t, a, tc.words)
			t.Log(detail)
			for _, secret := range []string{rightPassword, wrongPassword} {
				if strings.Contains(detail, secret) {
					t.Errorf("the detail tells a secret: %s", detail)
				}
			}
			if len(to.Records()) > 0 {
				t.Error("it brought values")
			}
		})
	}
}

// refusedWith waits until the connection is refused with certain words. A server that does not
// trust a client may just hang up, which is no refusal of ours.
func refusedWith(t *testing.T, a *Adapter, words string) string {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		s := a.Status()
		isOver := s.State == mes.AdapterRefused || s.State == mes.AdapterBackingOff && strings.Contains(s.Detail, "let it trust")
		if isOver && strings.Contains(s.Detail, words) {
			return s.Detail
		}
		if time.Now().After(end) || s.State == mes.AdapterRunning {
			t.Fatalf("it is %s (%s), want a refusal with %q", s.State, s.Detail, words)
		}
	}
}

func (m *matrix) changesCertificate(t *testing.T) {
	_, to := m.connect(t, m.config("good", config.PolicyAes256Sha256RsaPss, config.ModeSignAndEncrypt, "password"), "", 0)
	fresh(t, to, time.Time{})
	m.p.kill()
	m.serverKy = rsaKey(t)
	pair(t, m.files, "good", m.ca.sign(t, leaf(t, "urn:plc", twoDays), &m.serverKy.PublicKey), m.serverKy)
	m.p.start(t)
	returned := time.Now()
	fresh(t, to, returned)
	t.Logf("%s: values %s after the return with another certificate", m.p.name, time.Since(returned).Round(time.Millisecond))
}
