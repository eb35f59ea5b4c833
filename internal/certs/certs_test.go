package certs

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"plantgate/internal/config"
)

// clock is a clock that a test sets.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func selfSigned(t *testing.T, folder string, c *clock, hosts ...string) Material {
	t.Helper()
	m, err := Open(config.ServerTLS{Mode: config.TLSSelfSigned, Folder: folder, Hosts: hosts}, c.now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func served(t *testing.T, m Material) *x509.Certificate {
	t.Helper()
	cert, err := m.TLS.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		t.Fatal("no certificate in the CA's file")
	}
	return p
}

func TestFirstStartMakesFilesThatOnlyTheOwnerReads(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data", "tls")
	m := selfSigned(t, folder, &clock{time.Now()})
	if m.CAFile != filepath.Join(folder, "ca.crt") {
		t.Errorf("CAFile = %s", m.CAFile)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, "ca.key": 0o600, "server.pem": 0o600, "ca.crt": 0o644} {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("mode of %q is %o, want %o", name, info.Mode().Perm(), mode)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 3 {
		t.Errorf("folder holds %v (%v), want three files", entries, err)
	}
}

func TestLeafFollowsTheBaselineRequirements(t *testing.T) {
	t.Parallel()
	m := selfSigned(t, t.TempDir(), &clock{time.Now()}, "plant.example", "10.20.30.40")
	leaf := served(t, m)
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 397*24*time.Hour {
		t.Errorf("lives %s", life)
	}
	if leaf.SerialNumber.BitLen() < 64 || leaf.SerialNumber.Sign() <= 0 {
		t.Errorf("serial number %s", leaf.SerialNumber)
	}
	if !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || leaf.IsCA {
		t.Errorf("usage %v, CA %v", leaf.ExtKeyUsage, leaf.IsCA)
	}
	if len(leaf.SubjectKeyId) == 0 || len(leaf.AuthorityKeyId) == 0 {
		t.Error("key identifiers are missing")
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	roots := pool(t, m.CAFile)
	for _, host := range []string{"localhost", "127.0.0.1", "::1", hostname, "plant.example", "10.20.30.40"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestRestartKeepsCertificates(t *testing.T) {
	t.Parallel()
	folder, c := t.TempDir(), &clock{time.Now()}
	first := served(t, selfSigned(t, folder, c, "a.example"))
	if again := served(t, selfSigned(t, folder, c, "a.example")); !again.Equal(first) {
		t.Error("an unchanged start made a new leaf")
	}
	moved := selfSigned(t, folder, c, "b.example")
	if served(t, moved).Equal(first) {
		t.Error("a changed host list kept the leaf")
	}
	if err := served(t, moved).VerifyHostname("a.example"); err == nil {
		t.Error("the new leaf vouches for a host that was removed")
	}
	if err := served(t, moved).CheckSignatureFrom(authorityOf(t, folder)); err != nil {
		t.Errorf("the new leaf is of another CA: %v", err)
	}
}

func authorityOf(t *testing.T, folder string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := parseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestRunningServerRenewsItsLeaf(t *testing.T) {
	t.Parallel()
	folder, c := t.TempDir(), &clock{time.Now()}
	m := selfSigned(t, folder, c)
	first := served(t, m)
	c.t = first.NotAfter.Add(-renewBefore).Add(-time.Minute)
	if !served(t, m).Equal(first) {
		t.Error("renewed too early")
	}
	c.t = first.NotAfter.Add(-renewBefore).Add(time.Minute)
	second := served(t, m)
	if second.Equal(first) || !second.NotAfter.After(first.NotAfter) {
		t.Error("not renewed")
	}
	if err := second.CheckSignatureFrom(authorityOf(t, folder)); err != nil {
		t.Error(err)
	}
}

func TestDamagedFolderIsAnErrorNotANewCA(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(folder string) error{
		"key is gone":      func(f string) error { return os.Remove(filepath.Join(f, "ca.key")) },
		"key is no key":    func(f string) error { return os.WriteFile(filepath.Join(f, "ca.key"), []byte("x"), 0o600) },
		"no certificate":   func(f string) error { return os.WriteFile(filepath.Join(f, "ca.crt"), []byte("x"), 0o600) },
		"key of something": func(f string) error { return exchangeKey(t, filepath.Join(f, "ca.key")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder, c := t.TempDir(), &clock{time.Now()}
			selfSigned(t, folder, c)
			if err := damage(folder); err != nil {
				t.Fatal(err)
			}
			if _, err := openAuthority(folder, c.now()); err == nil {
				t.Error("opened")
			}
		})
	}
}

func exchangeKey(t *testing.T, file string) error {
	t.Helper()
	other := t.TempDir()
	selfSigned(t, other, &clock{time.Now()})
	text, err := os.ReadFile(filepath.Join(other, "ca.key"))
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

func TestDamagedLeafIsReplaced(t *testing.T) {
	t.Parallel()
	folder, c := t.TempDir(), &clock{time.Now()}
	selfSigned(t, folder, c)
	if err := os.WriteFile(filepath.Join(folder, "server.pem"), []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if served(t, selfSigned(t, folder, c)) == nil {
		t.Error("no leaf")
	}
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	t.Parallel()
	folder, c := t.TempDir(), &clock{time.Now()}
	certFile, keyFile := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	put := func(at time.Time) *x509.Certificate {
		other := t.TempDir()
		m := selfSigned(t, other, c)
		text, err := os.ReadFile(filepath.Join(other, "server.pem"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{certFile, keyFile} {
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(name, at, at); err != nil {
				t.Fatal(err)
			}
		}
		return served(t, m)
	}
	first := put(c.t)
	cfg := config.ServerTLS{Mode: config.TLSFiles, CertFile: certFile, KeyFile: keyFile}
	m, err := Open(cfg, c.now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if !served(t, m).Equal(first) {
		t.Error("serves another certificate")
	}
	second := put(c.t.Add(time.Hour))
	c.t = c.t.Add(checkEvery)
	if !served(t, m).Equal(second) {
		t.Error("not reloaded")
	}
	if err := os.WriteFile(certFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(checkEvery)
	if !served(t, m).Equal(second) {
		t.Error("a damaged file ended the old certificate")
	}
}

func TestOpenModes(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	if m, err := Open(config.ServerTLS{Mode: config.TLSOff}, time.Now, log); err != nil || m.TLS != nil {
		t.Errorf("off: %v, %v", m, err)
	}
	for name, cfg := range map[string]config.ServerTLS{
		"unknown mode":  {Mode: "maybe"},
		"missing files": {Mode: config.TLSFiles, CertFile: "/nowhere/a", KeyFile: "/nowhere/b"},
		"bad host":      {Mode: config.TLSSelfSigned, Folder: t.TempDir(), Hosts: []string{"no host!"}},
	} {
		if _, err := Open(cfg, time.Now, log); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// startTLS returns the address of a server that serves the material.
func startTLS(t *testing.T, m Material) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Proto+" "+tls.VersionName(r.TLS.Version))
		}),
		TLSConfig: m.TLS,
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	done := make(chan error, 1)
	go func() { done <- srv.ServeTLS(ln, "", "") }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return ln.Addr().String()
}

func TestHandshakeIsVerifiedByTheCA(t *testing.T) {
	t.Parallel()
	m := selfSigned(t, t.TempDir(), &clock{time.Now()})
	address := startTLS(t, m)

	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool(t, m.CAFile), NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if p := conn.ConnectionState().NegotiatedProtocol; p != "h2" {
		t.Errorf("protocol %q", p)
	}
	if c, err := tls.Dial("tcp", address, &tls.Config{}); err == nil {
		c.Close()
		t.Error("trusted without the CA")
	}
	old := &tls.Config{RootCAs: pool(t, m.CAFile), MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	if c, err := tls.Dial("tcp", address, old); err == nil {
		c.Close()
		t.Error("TLS 1.1 was accepted")
	}
}
