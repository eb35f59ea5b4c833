package trust

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// minKey is the least length of an RSA key of the policies that are spoken (OPC 10000-7,
// Basic256Sha256 and newer), in bits.
const minKey = 2048

// Judge decides which servers are spoken to.
type Judge struct {
	// Folder is the trust folder; "" is none.
	Folder string
	// Registry has what people decided; nil where nobody can be asked.
	Registry *Registry
	Now      func() time.Time
}

// Verify checks the certificate that a server shows. It is trusted by server_thumbprint, by
// the trust folder, by somebody's approval, or by the CA that signed it. chain is DER, the
// server's own certificate first; applicationURI is what the server says that it is. The
// error of one that is not trusted is a Refusal.
func (j *Judge) Verify(ctx context.Context, cfg config.OPCUAConnection, chain []byte, applicationURI string) error {
	certs, err := x509.ParseCertificates(chain)
	if err != nil || len(certs) == 0 {
		return Refuse("the server shows no certificate that can be read")
	}
	leaf := certs[0]
	if cfg.ServerThumbprint != "" {
		return pinned(cfg, leaf)
	}
	if err := j.fits(leaf, applicationURI); err != nil {
		return err
	}
	issuers, issuersFault := j.allIssuers(cfg)
	revoked, listsFault := j.isRevoked(leaf, append(slices.Clone(issuers), certs[1:]...))
	if revoked { // whoever trusts it
		return Refuse("the CA has revoked the server's certificate (%s): have a new one made for the server", leaf.Subject)
	}
	if trusted, err := j.has(trustedFolder, leaf.Raw); err != nil || trusted {
		return err
	}
	byCA := cmp.Or(issuersFault, listsFault)
	if byCA == nil {
		byCA = signed(cfg, leaf, issuers, certs[1:], j.Now())
	}
	if byCA == nil {
		return nil
	}
	return j.decided(ctx, cfg, leaf, byCA)
}

// pinned compares a certificate with the one that is configured, of which nothing else is
// asked.
func pinned(cfg config.OPCUAConnection, leaf *x509.Certificate) error {
	want, err := config.ParseThumbprint(cfg.ServerThumbprint)
	if err != nil {
		return Refuse("server_thumbprint: %v", err)
	}
	if want != sha256.Sum256(leaf.Raw) {
		return Refuse("the server's certificate (%s) has the SHA-256 thumbprint %s, not the configured one; "+
			"if it is the right server, set server_thumbprint to it", leaf.Subject, thumbprintOf(leaf.Raw))
	}
	return nil
}

// fits checks a certificate by itself.
func (j *Judge) fits(leaf *x509.Certificate, applicationURI string) error {
	now := j.Now()
	switch key, isRSA := leaf.PublicKey.(*rsa.PublicKey); {
	case now.After(leaf.NotAfter):
		return Refuse("the server's certificate (%s) expired on %s: renew it at the server", leaf.Subject, leaf.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return Refuse("the server's certificate (%s) is valid only from %s: check the clocks of both", leaf.Subject, leaf.NotBefore.UTC().Format(time.DateTime))
	case !isRSA:
		return Refuse("the server's certificate (%s) has no RSA key, as these security policies need it", leaf.Subject)
	case key.N.BitLen() < minKey:
		return Refuse("the server's certificate (%s) has a key of %d bits: these security policies need %d", leaf.Subject, key.N.BitLen(), minKey)
	}
	if applicationURI == "" {
		return nil
	}
	var uris []string
	for _, u := range leaf.URIs {
		uris = append(uris, u.String())
	}
	if !slices.Contains(uris, applicationURI) {
		return Refuse("the server says that it is %s, and its certificate (%s) is for %q: have the server make a certificate for itself, "+
			"or set server_thumbprint to %s if it is the right one all the same", applicationURI, leaf.Subject, uris, thumbprintOf(leaf.Raw))
	}
	return nil
}

// allIssuers are the CAs that are trusted, beside an error those that can be read.
func (j *Judge) allIssuers(cfg config.OPCUAConnection) ([]*x509.Certificate, error) {
	issuers, err := j.issuers()
	if cfg.ServerCAFile == "" {
		return issuers, err
	}
	own, ownErr := readCAs(cfg)
	return append(issuers, own...), cmp.Or(err, ownErr)
}

// signed checks that a CA that is trusted signed the certificate for the endpoint's host.
func signed(cfg config.OPCUAConnection, leaf *x509.Certificate, issuers, others []*x509.Certificate, now time.Time) error {
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, ca := range issuers {
		options.Roots.AddCert(ca)
	}
	for _, c := range others {
		options.Intermediates.AddCert(c)
	}
	if u, err := url.Parse(cfg.Endpoint); err == nil {
		options.DNSName = u.Hostname()
	}
	_, err := leaf.Verify(options)
	return err
}

// decided is what somebody decided of a certificate that no CA vouches for, because of
// cause. One that is new is parked.
func (j *Judge) decided(ctx context.Context, cfg config.OPCUAConnection, leaf *x509.Certificate, cause error) error {
	thumbprint := thumbprintOf(leaf.Raw)
	if j.Registry == nil && j.remembers(cfg.Name, leaf.Raw) {
		return nil
	}
	if j.Registry == nil {
		return Refuse("the server's certificate (%s, SHA-256 thumbprint %s) is not trusted: %v; if it is the server's own, set server_thumbprint to it, "+
			"or put it into %s of the trust folder", leaf.Subject, thumbprint, cause, trustedFolder)
	}
	state, err := j.Registry.look(ctx, cfg.Name, leaf.Raw, cause.Error())
	switch {
	case errors.Is(err, mes.ErrStoreAway):
		if j.remembers(cfg.Name, leaf.Raw) {
			return nil
		}
		return refuseForNow("the server's certificate (%s, SHA-256 thumbprint %s) is not trusted (%v), and whether it was approved is not known while the database is away",
			leaf.Subject, thumbprint, cause)
	case err != nil:
		return fmt.Errorf("look whether the server's certificate was approved: %w", err)
	case state == mes.CertificateApproved:
		j.remember(cfg.Name, leaf.Raw)
		return nil
	}
	j.forget(cfg.Name, leaf.Raw)
	if state == mes.CertificateRejected {
		return refuseForNow("the server's certificate (%s, SHA-256 thumbprint %s) was rejected", leaf.Subject, thumbprint)
	}
	return refuseForNow("the server's certificate (%s, SHA-256 thumbprint %s) is not trusted: %v; if it is the server's own, approve it "+
		"(POST /api/v1/adapters/opcua/%s/certificates/%s/approve), or set server_thumbprint to it", leaf.Subject, thumbprint, cause, cfg.Name, thumbprint)
}

// ReadRoots reads the CAs of server_ca_file.
func ReadRoots(cfg config.OPCUAConnection) (*x509.CertPool, error) {
	list, err := readCAs(cfg)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	for _, ca := range list {
		roots.AddCert(ca)
	}
	return roots, nil
}

func readCAs(cfg config.OPCUAConnection) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(cfg.ServerCAFile)
	if err != nil {
		return nil, fmt.Errorf("server_ca_file: %w", err)
	}
	list, err := x509.ParseCertificates(pemBlocks(text))
	if err != nil || len(list) == 0 {
		return nil, Refuse("server_ca_file holds no PEM certificate")
	}
	return list, nil
}
