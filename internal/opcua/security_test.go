package opcua

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uacp"

	"plantgate/internal/config"
)

// chain is a CA and a server's certificate of it.
type chain struct {
	caFile, thumbprint string
	server             []byte
}

func newChain(t *testing.T, host string) chain {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "plant CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "PLC"}, DNSNames: []string{host},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c := chain{caFile: filepath.Join(t.TempDir(), "ca.pem"), server: leafDER}
	if err := os.WriteFile(c.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(leafDER)
	c.thumbprint = hex.EncodeToString(sum[:])
	return c
}

func TestVerifyServer(t *testing.T) {
	t.Parallel()
	c, other := newChain(t, "plc.example"), newChain(t, "plc.example")
	now := time.Now()
	cases := map[string]struct {
		cfg   config.OPCUAConnection
		shown []byte
		at    time.Time
		want  string // part of the refusal; "" is trusted
	}{
		"thumbprint":          {config.OPCUAConnection{ServerThumbprint: strings.ToUpper(c.thumbprint)}, c.server, now, ""},
		"other thumbprint":    {config.OPCUAConnection{ServerThumbprint: other.thumbprint}, c.server, now, c.thumbprint},
		"CA":                  {config.OPCUAConnection{ServerCAFile: c.caFile, Endpoint: "opc.tcp://plc.example:4840"}, c.server, now, ""},
		"other CA":            {config.OPCUAConnection{ServerCAFile: other.caFile, Endpoint: "opc.tcp://plc.example:4840"}, c.server, now, c.thumbprint},
		"other host":          {config.OPCUAConnection{ServerCAFile: c.caFile, Endpoint: "opc.tcp://elsewhere:4840"}, c.server, now, "elsewhere"},
		"expired":             {config.OPCUAConnection{ServerCAFile: c.caFile, Endpoint: "opc.tcp://plc.example"}, c.server, now.Add(2 * time.Hour), "expired"},
		"no certificate":      {config.OPCUAConnection{ServerThumbprint: c.thumbprint}, nil, now, "no certificate"},
		"garbage":             {config.OPCUAConnection{ServerThumbprint: c.thumbprint}, []byte{1, 2}, now, "no certificate"},
		"no trust configured": {config.OPCUAConnection{}, c.server, now, c.thumbprint},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := verifyServer(tc.shown, tc.cfg, tc.at)
			var r *refusal
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (!errors.As(err, &r) || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want a refusal with %q", err, tc.want)
			}
		})
	}
}

func TestPasswordIsNotSentInClear(t *testing.T) {
	t.Parallel()
	endpoint := func(policies ...string) *ua.EndpointDescription {
		ep := &ua.EndpointDescription{SecurityPolicyURI: ua.SecurityPolicyURINone, SecurityMode: ua.MessageSecurityModeNone}
		for _, p := range policies {
			ep.UserIdentityTokens = append(ep.UserIdentityTokens, &ua.UserTokenPolicy{TokenType: ua.UserTokenTypeUserName, SecurityPolicyURI: p})
		}
		return ep
	}
	cfg := config.OPCUAConnection{Username: "u", Password: "p", SecurityMode: config.ModeNone}
	for name, tc := range map[string]struct {
		ep      *ua.EndpointDescription
		allowed bool
	}{
		"clear only":      {endpoint(ua.SecurityPolicyURINone), false},
		"policy left out": {endpoint(""), false},
		"encrypted too":   {endpoint(ua.SecurityPolicyURINone, ua.SecurityPolicyURIBasic256Sha256), true},
		"anonymous only":  {endpoint(), false},
	} {
		_, err := identify(nil, cfg, tc.ep)
		if (err == nil) != tc.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg.SecurityMode = config.ModeSignAndEncrypt
	if _, err := identify(nil, cfg, endpoint(ua.SecurityPolicyURINone)); err != nil {
		t.Errorf("within an encrypted channel: %v", err)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection reset")
	cases := map[string]struct {
		err     error
		secured bool
		refusal bool
		want    string
	}{
		"wrong password":        {ua.StatusBadUserAccessDenied, true, true, "username and password"},
		"not trusted":           {ua.StatusBadSecurityChecksFailed, true, true, publicCertFile},
		"reason of a transport": {&uacp.Error{ErrorCode: uint32(ua.StatusBadCertificateUntrusted)}, true, true, publicCertFile},
		"ended when secured":    {io.EOF, true, false, publicCertFile},
		"ended in the clear":    {io.EOF, false, false, "EOF"},
		"busy":                  {ua.StatusBadTooManySessions, false, false, "session"},
		"network":               {lost, true, false, lost.Error()},
	}
	for name, tc := range cases {
		err := explain(tc.err, tc.secured)
		var r *refusal
		if errors.As(err, &r) != tc.refusal || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOwnCertificateIsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "opcua")
	made := make([]ownCertificate, 4)
	var all sync.WaitGroup
	for i := range made {
		all.Go(func() {
			var err error
			if made[i], err = clientCertificate(config.OPCUAConnection{}, folder, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, c := range made[1:] {
		if !slices.Equal(c.chain, made[0].chain) || !c.key.Equal(made[0].key) {
			t.Fatal("connections that start at once have different certificates")
		}
	}
	cert, err := x509.ParseCertificate(made[0].chain)
	if err != nil {
		t.Fatal(err)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != applicationURI() {
		t.Errorf("the certificate's URIs are %v, want %s", cert.URIs, applicationURI())
	}
	info, err := os.Stat(filepath.Join(folder, ownCertFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file has the mode %v", info.Mode())
	}
	public, err := os.ReadFile(filepath.Join(folder, publicCertFile))
	if err != nil || !slices.Equal(public, made[0].chain) {
		t.Errorf("the public certificate is not the one in use (%v)", err)
	}
}

// TestFilesAreChecked: what a session would need of this machine is looked for without
// one; nothing is made.
func TestFilesAreChecked(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	text, _, err := selfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good, bad, missing := filepath.Join(folder, "good"), filepath.Join(folder, "bad"), filepath.Join(folder, "missing")
	for file, content := range map[string][]byte{good: text, bad: []byte("x")} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secure := config.OPCUAConnection{Endpoint: "opc.tcp://127.0.0.1:4840", SecurityMode: config.ModeSign}
	for name, c := range map[string]struct {
		change func(*config.OPCUAConnection)
		fault  string
	}{
		"nothing needed": {func(*config.OPCUAConnection) {}, ""},
		"all there": {func(c *config.OPCUAConnection) {
			c.CertFile, c.KeyFile, c.ServerCAFile, c.PasswordFile = good, good, good, good
		}, ""},
		"no certificate":    {func(c *config.OPCUAConnection) { c.CertFile, c.KeyFile = missing, good }, "cert_file"},
		"no key":            {func(c *config.OPCUAConnection) { c.CertFile, c.KeyFile = good, missing }, "key_file"},
		"a bad certificate": {func(c *config.OPCUAConnection) { c.CertFile, c.KeyFile = bad, good }, "certificate"},
		"no authority":      {func(c *config.OPCUAConnection) { c.ServerCAFile = missing }, "server_ca_file"},
		"a bad authority":   {func(c *config.OPCUAConnection) { c.ServerCAFile = bad }, "server_ca_file"},
		"no password":       {func(c *config.OPCUAConnection) { c.PasswordFile = missing }, "password_file"},
		"what is not used": {func(c *config.OPCUAConnection) {
			c.SecurityMode, c.CertFile, c.KeyFile = config.ModeNone, missing, missing
		}, ""},
	} {
		cfg := secure
		c.change(&cfg)
		err := checkFiles(cfg, time.Now())
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
