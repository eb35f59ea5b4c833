package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Lifetimes. A leaf is renewed when less than renewBefore is left of it.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 397*24*time.Hour - time.Hour
	renewBefore   = 30 * 24 * time.Hour
	// backdate lets clients whose clocks are a little behind connect at once.
	backdate = time.Hour
)

// Names of the files in the folder.
const (
	authorityCertFile = "ca.crt"
	authorityKeyFile  = "ca.key"
	leafFile          = "server.pem"
)

// authority is the own CA.
type authority struct {
	certFile string
	cert     *x509.Certificate
	key      crypto.Signer
}

// openAuthority reads the CA of the folder, or makes it on the first start. A
// certificate without its key is an error: clients trust it, so replacing it
// silently would cut them off without a word.
func openAuthority(folder string, now time.Time) (*authority, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("folder for certificates: %w", err)
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		return nil, fmt.Errorf("folder for certificates: %w", err)
	}
	a := &authority{certFile: filepath.Join(folder, authorityCertFile)}
	keyFile := filepath.Join(folder, authorityKeyFile)

	certPEM, err := os.ReadFile(a.certFile)
	if errors.Is(err, fs.ErrNotExist) {
		return a, a.create(keyFile, now)
	}
	if err != nil {
		return nil, fmt.Errorf("certificate of the CA: %w", err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key of the CA (remove %s to make a new CA that clients have to trust anew): %w", a.certFile, err)
	}
	if a.cert, err = parseCertificate(certPEM); err != nil {
		return nil, fmt.Errorf("%s: %w", a.certFile, err)
	}
	if a.key, err = parseKey(keyPEM); err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	if !samePublicKey(a.cert.PublicKey, a.key) {
		return nil, fmt.Errorf("%s is not the key of %s", keyFile, a.certFile)
	}
	if a.cert.NotAfter.Sub(now) < renewBefore {
		return a, a.create(keyFile, now)
	}
	return a, nil
}

// create makes the CA. The key is written first: a key without a certificate is
// known to nobody and may be replaced.
func (a *authority) create(keyFile string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			Organization: []string{"plantgate"},
			CommonName:   "plantgate CA " + serial.Text(16)[:8],
		},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("certificate of the CA: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return err
	}
	if err := writeFile(keyFile, keyPEM, 0o600); err != nil {
		return err
	}
	if err := writeFile(a.certFile, encodeCertificate(der), 0o644); err != nil {
		return err
	}
	a.key = key
	a.cert, err = x509.ParseCertificate(der)
	return err
}

// newSerial returns a random positive number of 127 bits; the Baseline
// Requirements (7.1) ask for at least 64 random ones.
func newSerial() (*big.Int, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, err
	}
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:]), nil
}

func samePublicKey(public any, key crypto.Signer) bool {
	p, ok := public.(*ecdsa.PublicKey)
	return ok && p.Equal(key.Public())
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("is not a PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("is not a PEM key")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("is not an ECDSA key")
	}
	return signer, nil
}
