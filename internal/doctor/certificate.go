package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"
)

// soon is how long before its end a certificate is warned of.
const soon = 30 * 24 * time.Hour

// Expiry adds until when a certificate is valid.
func (s *Subject) Expiry(check string, c *x509.Certificate, now time.Time) {
	until := c.NotAfter.UTC().Format(time.RFC3339)
	switch {
	case now.Before(c.NotBefore):
		s.Fail(check, "check the clocks of both machines", "the certificate is valid only from %s", c.NotBefore.UTC().Format(time.RFC3339))
	case now.After(c.NotAfter):
		s.Fail(check, "renew the certificate", "the certificate expired on %s", until)
	case now.Add(soon).After(c.NotAfter):
		s.Warn(check, "renew the certificate", "the certificate expires on %s", until)
	default:
		s.OK(check, "valid until %s", until)
	}
}

// CertificateFile adds until when the certificates of a file (PEM) are valid: the one that
// ends first. setting names the file, whose path is not told.
func (s *Subject) CertificateFile(setting, path string, now time.Time) {
	text, err := os.ReadFile(path)
	if err != nil {
		s.Fail(setting, "correct the path, or let the program's user read the file", "%s can't be read", setting)
		return
	}
	var first *x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			s.Fail(setting, "put a certificate in PEM form there", "%s has a certificate that can't be read", setting)
			return
		}
		if first == nil || c.NotAfter.Before(first.NotAfter) {
			first = c
		}
	}
	if first == nil {
		s.Fail(setting, "put a certificate in PEM form there", "%s has no certificate", setting)
		return
	}
	s.Expiry(setting, first, now)
}
