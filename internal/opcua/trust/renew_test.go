package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/config"
)

// madeAt reads the own certificate at a time.
func madeAt(t *testing.T, folder string, now time.Time) Own {
	t.Helper()
	own, err := ReadOwn(config.OPCUAConnection{}, folder, now)
	if err != nil || own.NextFault != nil {
		t.Fatal(err, own.NextFault)
	}
	return own
}

// TestOwnCertificateIsRenewed: a successor is there 30 days before the end, for people to
// let servers trust it; it takes over in the last hour, and has a successor itself.
func TestOwnCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	folder, began := t.TempDir(), time.Now()
	// Servers know the machine by the name that it had when the first was made.
	text, err := selfSigned(began, &x509.Certificate{URIs: []*url.URL{{Scheme: "urn", Opaque: "before"}}, DNSNames: []string{"before"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, ownCertFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	first := madeAt(t, folder, began)
	end := first.Leaf.NotAfter
	if early := madeAt(t, folder, end.Add(-RenewBefore-time.Minute)); early.Next != "" || !early.Leaf.Equal(first.Leaf) {
		t.Errorf("too early: %q", early.Next)
	}
	var all sync.WaitGroup
	for range 4 { // connections that look at once
		all.Go(func() {
			if own := madeAt(t, folder, end.Add(-RenewBefore+time.Minute)); own.Next != "opcua-client-next.der" || !own.Leaf.Equal(first.Leaf) || own.File != PublicCertFile {
				t.Errorf("in time: %q, %q", own.File, own.Next)
			}
		})
	}
	all.Wait()
	public, err := os.ReadFile(filepath.Join(folder, "opcua-client-next.der"))
	if err != nil {
		t.Fatal(err)
	}
	second := madeAt(t, folder, end.Add(-time.Minute))
	if !bytes.Equal(second.Leaf.Raw, public) || second.File != "opcua-client-next.der" || second.Key.Equal(first.Key) {
		t.Error("the successor that servers were to trust does not take over")
	}
	if second.Leaf.URIs[0].String() != "urn:before" || second.Leaf.DNSNames[0] != "before" {
		t.Errorf("the successor is for %s, %v", second.Leaf.URIs, second.Leaf.DNSNames)
	}
	if own, err := ReadMade(folder, end.Add(time.Hour)); err != nil || !own.Leaf.Equal(second.Leaf) {
		t.Errorf("what is looked at is not what is used: %v", err)
	}
	end = second.Leaf.NotAfter
	if own := madeAt(t, folder, end.Add(-time.Hour*24)); !own.Leaf.Equal(second.Leaf) || own.Next == "" {
		t.Error("the successor has none itself")
	}
	if third := madeAt(t, folder, end.Add(time.Hour)); third.Leaf.Equal(second.Leaf) || !third.lasts(end, 0) {
		t.Error("the third does not take over")
	}
}

// TestClockThatIsWrongForAWhile: a clock that is years ahead, and then right again, neither
// takes a certificate away that servers trust, nor leaves one that is not valid yet.
func TestClockThatIsWrongForAWhile(t *testing.T) {
	t.Parallel()
	folder, now := t.TempDir(), time.Now()
	first := madeAt(t, folder, now)
	ahead := first.Leaf.NotAfter.Add(20 * 365 * 24 * time.Hour)
	if own := madeAt(t, folder, ahead); !own.lasts(ahead, RenewBefore) {
		t.Error("of a clock that is ahead: not valid")
	}
	if own := madeAt(t, folder, now); !own.Leaf.Equal(first.Leaf) {
		t.Error("the certificate that servers trust is not used any more")
	}
	if own := madeAt(t, folder, first.Leaf.NotAfter); !own.lasts(first.Leaf.NotAfter, RenewBefore) {
		t.Error("a successor of the wrong time is used")
	}
}

// TestPublicCertificateComesBack: what servers are to trust is a copy.
func TestPublicCertificateComesBack(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	own := madeAt(t, folder, time.Now())
	file := filepath.Join(folder, PublicCertFile)
	if err := os.WriteFile(file, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	madeAt(t, folder, time.Now())
	if kept, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, own.Leaf.Raw) {
		t.Errorf("the public certificate is not the one in use (%v)", err)
	}
}

// TestConfiguredCertificates: one that is not valid, or too weak, is refused by its setting.
func TestConfiguredCertificates(t *testing.T) {
	t.Parallel()
	folder, now := t.TempDir(), time.Now()
	own := madeAt(t, folder, now)
	file := filepath.Join(folder, ownCertFile)
	weak := newKey(t, 1024)
	cert := sign(t, &x509.Certificate{SerialNumber: own.Leaf.SerialNumber, NotAfter: now.Add(time.Hour)}, &x509.Certificate{SerialNumber: own.Leaf.SerialNumber}, &weak.PublicKey, weak)
	short := filepath.Join(folder, "short.pem")
	text := append(pemOf(cert), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(weak)})...)
	if err := os.WriteFile(short, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		file string
		at   time.Time
		want string
	}{
		"valid":   {file, now, ""},
		"expired": {file, own.Leaf.NotAfter.Add(time.Minute), "cert_file (CN=plantgate,O=plantgate) expired on " + day(own.Leaf.NotAfter)},
		"not yet": {file, own.Leaf.NotBefore.Add(-time.Minute), "is valid only from"},
		"weak":    {short, now, "1024 bits"},
	} {
		cfg := config.OPCUAConnection{CertFile: tc.file, KeyFile: tc.file, UserCertFile: tc.file, UserKeyFile: tc.file}
		_, asClient := ReadOwn(cfg, folder, tc.at)
		_, asUser := ReadUser(cfg, tc.at)
		for setting, err := range map[string]error{"cert_file": asClient, "user_cert_file": asUser} {
			var r *Refusal
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s, %s: %v", name, setting, err)
			case tc.want != "" && (!errors.As(err, &r) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), " "+setting)):
				t.Errorf("%s, %s: got %v, want a refusal with %q", name, setting, err, tc.want)
			}
		}
	}
}
