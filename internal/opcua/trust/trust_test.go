package trust

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
			err := VerifyServer(tc.shown, tc.cfg, tc.at)
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
