package trust

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

const serverURI = "urn:plc:server"

// authority signs certificates of servers.
type authority struct {
	key    *rsa.PrivateKey
	cert   *x509.Certificate
	serial int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t, 2048), serial: 1}
	now := time.Now()
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "plant CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1, 2},
	}
	a.cert = parsed(t, sign(t, a.cert, a.cert, &a.key.PublicKey, a.key))
	return a
}

func newKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, cert, by *x509.Certificate, public any, key *rsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, by, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func parsed(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// issue makes the certificate of a server, DER.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) []byte {
	t.Helper()
	a.serial++
	now := time.Now()
	uri, err := url.Parse(serverURI)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: "PLC"}, DNSNames: []string{"plc.example"}, URIs: []*url.URL{uri},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	if change != nil {
		change(c)
	}
	return sign(t, c, a.cert, &a.key.PublicKey, a.key)
}

// folderWith is a trust folder with files.
func folderWith(t *testing.T, files map[string][]byte) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func pemOf(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }

// notes are in memory, and may be away.
type notes struct {
	mu   sync.Mutex
	all  map[string][]byte
	away bool
}

func (n *notes) ConnectionNotes(_ context.Context, connection, prefix string) (map[string][]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away {
		return nil, fmt.Errorf("read: %w", mes.ErrStoreAway)
	}
	found := map[string][]byte{}
	for name, text := range n.all {
		if rest, ok := strings.CutPrefix(name, connection+"/"); ok && strings.HasPrefix(rest, prefix) {
			found[rest] = text
		}
	}
	return found, nil
}

func (n *notes) PutConnectionNote(_ context.Context, connection, name string, text []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[connection+"/"+name] = text
	return nil
}

// TestServersThatAreTrusted: by which ways a server is trusted, and what is said of one that
// is not.
func TestServersThatAreTrusted(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	good := ca.issue(t, nil)
	revoked := ca.issue(t, nil)
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: parsed(t, revoked).SerialNumber, RevocationTime: time.Now()}},
	}, ca.cert, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pemOf(ca.cert.Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	weak := newKey(t, 1024)
	weakCert := sign(t, &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "PLC"}, NotAfter: time.Now().Add(time.Hour)}, ca.cert, &weak.PublicKey, ca.key)
	at := "opc.tcp://plc.example:4840"
	byCA := config.OPCUAConnection{ServerCAFile: file, Endpoint: at}
	for name, tc := range map[string]struct {
		cfg   config.OPCUAConnection
		files map[string][]byte
		shown []byte
		uri   string
		want  string // part of the refusal; "" is trusted
	}{
		"thumbprint":             {config.OPCUAConnection{ServerThumbprint: strings.ToUpper(thumbprintOf(good))}, nil, good, "urn:other", ""},
		"other thumbprint":       {config.OPCUAConnection{ServerThumbprint: thumbprintOf(revoked)}, nil, good, serverURI, thumbprintOf(good)},
		"CA":                     {byCA, nil, good, serverURI, ""},
		"CA of the folder":       {config.OPCUAConnection{Endpoint: at}, map[string][]byte{"issuers/plant.pem": pemOf(ca.cert.Raw)}, good, serverURI, ""},
		"the same in DER":        {config.OPCUAConnection{Endpoint: at}, map[string][]byte{"issuers/plant.der": ca.cert.Raw}, good, serverURI, ""},
		"trusted":                {config.OPCUAConnection{Endpoint: "opc.tcp://10.0.0.9:4840"}, map[string][]byte{"trusted/plc.der": good}, good, serverURI, ""},
		"trusted in PEM":         {config.OPCUAConnection{Endpoint: at}, map[string][]byte{"trusted/plc.pem": pemOf(good)}, good, serverURI, ""},
		"other CA":               {config.OPCUAConnection{Endpoint: at}, map[string][]byte{"issuers/plant.pem": pemOf(other.cert.Raw)}, good, serverURI, "unknown authority"},
		"other host":             {config.OPCUAConnection{ServerCAFile: file, Endpoint: "opc.tcp://elsewhere:4840"}, nil, good, serverURI, "elsewhere"},
		"other application":      {byCA, nil, good, "urn:other", "the server says that it is urn:other"},
		"expired":                {byCA, nil, ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), serverURI, "expired on"},
		"expired though trusted": {config.OPCUAConnection{}, nil, ca.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), serverURI, "expired on"},
		"not yet":                {byCA, nil, ca.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), serverURI, "valid only from"},
		"short key":              {byCA, nil, weakCert, "", "1024 bits"},
		"revoked":                {byCA, map[string][]byte{"crl/plant.crl": crl}, revoked, serverURI, "revoked"},
		"revoked, elsewhere":     {config.OPCUAConnection{ServerCAFile: file, Endpoint: "opc.tcp://10.0.0.9:4840"}, map[string][]byte{"crl/plant.crl": crl}, revoked, serverURI, "has revoked"},
		"revoked though trusted": {byCA, map[string][]byte{"crl/plant.crl": crl, "trusted/plc.der": revoked}, revoked, serverURI, "has revoked"},
		"not revoked":            {byCA, map[string][]byte{"crl/plant.crl": crl}, good, serverURI, ""},
		"no certificate":         {byCA, nil, nil, serverURI, "no certificate"},
		"garbage":                {byCA, nil, []byte{1, 2}, serverURI, "no certificate"},
		"garbage of a CA":        {config.OPCUAConnection{Endpoint: at}, map[string][]byte{"issuers/x": []byte("x")}, good, serverURI, "issuers/x"},
		"a list beside garbage":  {byCA, map[string][]byte{"crl/plant.crl": crl, "crl/a": []byte("x"), "crl/z": []byte("x")}, revoked, serverURI, "has revoked"},
		"trusted beside garbage": {byCA, map[string][]byte{"trusted/plc.der": good, "crl/a": []byte("x"), "issuers/x": []byte("x")}, good, serverURI, ""},
		"garbage of a list":      {byCA, map[string][]byte{"crl/x": []byte("x")}, good, serverURI, "crl/x"},
		"nothing known":          {config.OPCUAConnection{Endpoint: at}, nil, good, serverURI, thumbprintOf(good)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := &Judge{Folder: folderWith(t, tc.files), Now: time.Now}
			err := j.Verify(t.Context(), tc.cfg, tc.shown, tc.uri)
			var r *Refusal
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (!errors.As(err, &r) || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want a refusal with %q", err, tc.want)
			}
		})
	}
}

// TestApproval: an unknown certificate waits for a decision, which counts at every server
// of a database, and while the database is away at those that know of it.
func TestApproval(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	shown, another := ca.issue(t, nil), ca.issue(t, nil)
	kept := &notes{all: map[string][]byte{}}
	registry := NewRegistry(kept, time.Now)
	j := &Judge{Folder: t.TempDir(), Registry: registry, Now: time.Now}
	elsewhere := &Judge{Folder: t.TempDir(), Registry: registry, Now: time.Now}
	cfg := config.OPCUAConnection{Name: "press", Endpoint: "opc.tcp://plc.example:4840"}
	verify := func(j *Judge, der []byte, want string) {
		t.Helper()
		err := j.Verify(t.Context(), cfg, der, serverURI)
		var r *Refusal
		switch {
		case want == "" && err != nil:
			t.Errorf("refused: %v", err)
		case want != "" && (!errors.As(err, &r) || !strings.Contains(err.Error(), want) || !r.Soon()):
			t.Errorf("got %v, want a refusal for now with %q", err, want)
		}
	}
	verify(j, shown, "/api/v1/adapters/opcua/press/certificates/"+thumbprintOf(shown)+"/approve")
	verify(j, shown, "approve")
	list, err := registry.List(t.Context(), "press")
	if err != nil || len(list) != 1 || list[0].State != mes.CertificateParked || !strings.Contains(list[0].Reason, "unknown authority") {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := registry.Decide(t.Context(), "press", thumbprintOf(another), mes.CertificateApproved, "me"); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("of one that was not shown: %v", err)
	}
	if c, err := registry.Decide(t.Context(), "press", strings.ToUpper(thumbprintOf(shown)), mes.CertificateApproved, "me"); err != nil || c.DecidedBy != "me" || c.DecidedAt.IsZero() {
		t.Fatalf("%+v, %v", c, err)
	}
	verify(j, shown, "")
	verify(j, another, "approve")
	kept.away = true
	verify(j, shown, "")
	verify(j, another, "database is away")
	verify(elsewhere, shown, "database is away")
	kept.away = false
	verify(elsewhere, shown, "")
	if _, err := registry.Decide(t.Context(), "press", thumbprintOf(shown), mes.CertificateRejected, "me"); err != nil {
		t.Fatal(err)
	}
	verify(j, shown, "was rejected")
	kept.away = true
	verify(j, shown, "database is away")
	kept.away = false
	for range maxParked + 5 {
		verify(j, ca.issue(t, nil), "approve")
	}
	if list, err := registry.List(t.Context(), "press"); err != nil || len(list) != maxParked+1 {
		t.Errorf("%d certificates are kept, %v", len(list), err)
	}
}

func TestOwnCertificateIsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "opcua")
	made := make([]Own, 4)
	var all sync.WaitGroup
	for i := range made {
		all.Go(func() {
			var err error
			if made[i], err = ReadOwn(config.OPCUAConnection{}, folder, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, c := range made[1:] {
		if !slices.Equal(c.Chain, made[0].Chain) || !c.Key.Equal(made[0].Key) {
			t.Fatal("connections that start at once have different certificates")
		}
	}
	cert, err := x509.ParseCertificate(made[0].Chain)
	if err != nil {
		t.Fatal(err)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != ApplicationURI() {
		t.Errorf("the certificate's URIs are %v, want %s", cert.URIs, ApplicationURI())
	}
	info, err := os.Stat(filepath.Join(folder, ownCertFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file has the mode %v", info.Mode())
	}
	public, err := os.ReadFile(filepath.Join(folder, PublicCertFile))
	if err != nil || !slices.Equal(public, made[0].Chain) {
		t.Errorf("the public certificate is not the one in use (%v)", err)
	}
}
