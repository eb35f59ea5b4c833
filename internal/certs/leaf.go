package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// leaf is the server's certificate of the own CA. Key and certificates stand in
// one file, so that they can never disagree after a crash.
type leaf struct {
	authority *authority
	file      string
	hosts     hostList
	now       func() time.Time
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	retryAt time.Time
}

// openLeaf reads the leaf of the folder and makes a new one where there is none,
// where it is of another CA, nears its end, or names other hosts.
func openLeaf(a *authority, folder string, hosts hostList, now func() time.Time, log *slog.Logger) (*leaf, error) {
	l := &leaf{authority: a, file: filepath.Join(folder, leafFile), hosts: hosts, now: now, log: log}
	text, err := os.ReadFile(l.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("certificate of the server: %w", err)
	}
	if err == nil {
		if cert, err := tls.X509KeyPair(text, text); err == nil && l.usable(cert.Leaf) {
			l.current = &cert
			return l, nil
		}
	}
	return l, l.renew()
}

// usable tells whether the certificate can go on being served.
func (l *leaf) usable(cert *x509.Certificate) bool {
	return cert.NotAfter.Sub(l.now()) >= renewBefore &&
		cert.CheckSignatureFrom(l.authority.cert) == nil &&
		hostsOf(cert).equal(l.hosts)
}

// certificate serves tls.Config.GetCertificate. It renews the leaf in time even
// if the process runs for years; while that fails the old one goes on.
func (l *leaf) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.current.Leaf.NotAfter.Sub(now) < renewBefore && !now.Before(l.retryAt) {
		if err := l.renew(); err != nil {
			l.retryAt = now.Add(time.Hour)
			l.log.Warn("certificate not renewed, will be tried again", "error", err, "not_after", l.current.Leaf.NotAfter)
		} else {
			l.log.Info("certificate renewed", "not_after", l.current.Leaf.NotAfter)
		}
	}
	return l.current, nil
}

func (l *leaf) renew() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	now := l.now()
	notAfter := now.Add(leafLife - backdate)
	if l.authority.cert.NotAfter.Before(notAfter) {
		notAfter = l.authority.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"plantgate"}, CommonName: "plantgate server"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		SubjectKeyId:          subjectKeyID(key),
		DNSNames:              l.hosts.names,
		IPAddresses:           l.hosts.addresses,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, l.authority.cert, key.Public(), l.authority.key)
	if err != nil {
		return fmt.Errorf("certificate of the server: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return err
	}
	text := slices.Concat(keyPEM, encodeCertificate(der))
	cert, err := tls.X509KeyPair(text, text)
	if err != nil {
		return err
	}
	if err := writeFile(l.file, text, 0o600); err != nil {
		return err
	}
	l.current = &cert
	return nil
}
