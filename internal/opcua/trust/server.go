package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"time"

	"plantgate/internal/config"
)

// VerifyServer checks the certificate that the server shows, by its thumbprint
// or by the CA that signed it. chain is DER, the server's own certificate first.
func VerifyServer(chain []byte, cfg config.OPCUAConnection, now time.Time) error {
	certs, err := x509.ParseCertificates(chain)
	if err != nil || len(certs) == 0 {
		return Refuse("the server shows no certificate that can be read")
	}
	leaf := certs[0]
	sum := sha256.Sum256(leaf.Raw)
	seen := hex.EncodeToString(sum[:])
	if cfg.ServerThumbprint != "" {
		want, err := config.ParseThumbprint(cfg.ServerThumbprint)
		if err != nil {
			return Refuse("server_thumbprint: %v", err)
		}
		if want != sum {
			return Refuse("the server's certificate (%s) has the SHA-256 thumbprint %s, not the configured one; "+
				"if it is the right server, set server_thumbprint to it", leaf.Subject, seen)
		}
		return nil
	}
	if cfg.ServerCAFile == "" {
		return Refuse("the server's certificate (%s) has the SHA-256 thumbprint %s; "+
			"if that is the server's own, set server_thumbprint to it", leaf.Subject, seen)
	}
	roots, err := ReadRoots(cfg)
	if err != nil {
		return err
	}
	options := x509.VerifyOptions{
		Roots:         roots,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	if u, err := url.Parse(cfg.Endpoint); err == nil {
		options.DNSName = u.Hostname()
	}
	for _, c := range certs[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err != nil {
		return Refuse("the server's certificate (%s, SHA-256 thumbprint %s) is not trusted: %v; "+
			"correct server_ca_file, or set server_thumbprint", leaf.Subject, seen, err)
	}
	return nil
}

// ReadRoots reads the CAs of server_ca_file.
func ReadRoots(cfg config.OPCUAConnection) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	pemText, err := os.ReadFile(cfg.ServerCAFile)
	if err != nil {
		return nil, fmt.Errorf("server_ca_file: %w", err)
	}
	if !roots.AppendCertsFromPEM(pemText) {
		return nil, Refuse("server_ca_file holds no PEM certificate")
	}
	return roots, nil
}
