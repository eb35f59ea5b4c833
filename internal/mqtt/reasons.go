package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// failure says, in words for an operator, why a network connection to the broker can't be
// made and what to do about it. No word of it is of a secret. The cause stands behind it,
// for logs. asked tells whether the broker asked for a client certificate.
func failure(cfg config.MQTTConnection, cause error, asked bool) error {
	if asked && isEnded(cause) && cfg.TLS.CertFile == "" {
		return mes.Wrap(mes.CodeUnauthenticated, errors.Join(errRefused, cause), wantsCertificate)
	}
	if text := brokersAlert(cfg, cause); text != "" {
		return mes.Wrap(mes.CodeUnauthenticated, errors.Join(errRefused, cause), text)
	}
	return mes.Wrap(mes.CodeUnavailable, cause, reason(cfg, cause))
}

const wantsCertificate = "the broker wants a client certificate: set tls.cert_file and tls.key_file to one of a CA that it trusts"

// noteRequest tells, after a handshake, whether the broker asked for a client certificate. With TLS 1.3 a broker that insists ends the connection later, and
// its alert may get lost.
func noteRequest(c *tls.Config) *atomic.Bool {
	asked := new(atomic.Bool)
	if c != nil {
		own := slices.Concat(c.Certificates, []tls.Certificate{{}})
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked.Store(true)
			return &own[0], nil // also if the broker does not name its CA, so that it says why not
		}
	}
	return asked
}

// isEnded tells that the broker ended the connection.
func isEnded(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// reason is of failures that are seen on this side.
func reason(cfg config.MQTTConnection, cause error) string {
	if text := certificateReason(cfg, cause); text != "" {
		return text
	}
	host := hostOf(cfg)
	var noTLS tls.RecordHeaderError
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(cause, &noTLS):
		return "the broker does not speak TLS on this port: correct the port, or the scheme of url"
	case strings.Contains(cause.Error(), "protocol version"):
		return "the broker's TLS is older than tls.min_version: have it speak a newer one, or lower tls.min_version"
	case errors.As(cause, &dns):
		return "the name " + host + " can't be resolved: check url and the name server"
	case errors.Is(cause, syscall.ECONNREFUSED):
		return "nothing listens on " + host + ": is the broker running, and the port right?"
	case errors.Is(cause, syscall.EHOSTUNREACH), errors.Is(cause, syscall.ENETUNREACH):
		return "there is no way to " + host + ": check network and firewall"
	case errors.Is(cause, context.DeadlineExceeded), errors.As(cause, &timeout) && timeout.Timeout():
		return "no answer of " + host + " in time: check the address, the firewall, and whether the broker is well"
	case !usesTLS(cfg.URL) && isEnded(cause):
		return "the broker ended the connection without an answer: if this is its TLS port, the scheme of url must be one of TLS"
	case isEnded(cause) && cfg.TLS.CertFile != "":
		return "the broker ended the connection without an answer: it may not trust tls.cert_file; its log says why"
	case isEnded(cause):
		return "the broker ended the connection without an answer: is this its MQTT port? Its log says why"
	}
	return "the broker can't be reached"
}

// certificateReason is of a certificate of the broker that is not trusted.
func certificateReason(cfg config.MQTTConnection, cause error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(cause, &unknown) && cfg.TLS.CAFile == "":
		return "the broker's certificate is of no authority that this machine trusts: set tls.ca_file to the certificate of its CA"
	case errors.As(cause, &unknown):
		return "the broker's certificate is of no CA in tls.ca_file: put the CA there that signed it"
	case errors.As(cause, &name):
		return fmt.Sprintf("the broker's certificate is for %s, not for %s: correct url, or set tls.server_name to a name that it has",
			namesOf(name.Certificate), name.Host)
	case errors.As(cause, &invalid) && invalid.Reason == x509.Expired:
		if now := time.Now(); invalid.Cert != nil && now.Before(invalid.Cert.NotBefore) {
			return fmt.Sprintf("the broker's certificate is valid only from %s: check the clocks of broker and server", day(invalid.Cert.NotBefore))
		}
		if invalid.Cert == nil {
			return "the broker's certificate has expired: renew it on the broker"
		}
		return fmt.Sprintf("the broker's certificate expired on %s: renew it on the broker", day(invalid.Cert.NotAfter))
	case errors.As(cause, &invalid):
		return "the broker's certificate can't be used: have a right one made for the broker"
	}
	return ""
}

// brokersAlert is of what the broker says of this side in TLS (RFC 8446, 6.2); "" if it
// said nothing of that kind. The library has no type for it, only the words.
func brokersAlert(cfg config.MQTTConnection, cause error) string {
	var op *net.OpError
	if !errors.As(cause, &op) || op.Op != "remote error" {
		return ""
	}
	alert := strings.TrimPrefix(op.Err.Error(), "tls: ")
	none := cfg.TLS.CertFile == ""
	switch {
	case strings.Contains(alert, "protocol version"):
		return "the broker does not speak the versions of TLS that tls.min_version allows: have it speak a newer one, or lower tls.min_version"
	case strings.Contains(alert, "certificate required"), none && isHandshakeAlert(alert):
		return wantsCertificate
	case strings.Contains(alert, "expired certificate"), strings.Contains(alert, "certificate expired"):
		return "the broker says that the client certificate has expired: renew tls.cert_file"
	case strings.Contains(alert, "unknown certificate authority"), strings.Contains(alert, "unknown ca"), isHandshakeAlert(alert):
		return "the broker does not trust the client certificate: tls.cert_file must be of a CA that it knows, and valid"
	}
	return "the broker refuses the TLS connection (" + alert + "): its log says why"
}

func isHandshakeAlert(alert string) bool {
	return strings.Contains(alert, "handshake failure") || strings.Contains(alert, "bad certificate") || strings.Contains(alert, "unknown certificate")
}

// maxNames are told of a certificate.
const maxNames = 5

func namesOf(c *x509.Certificate) string {
	if c == nil {
		return "another name"
	}
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	switch {
	case len(names) == 0:
		return "no host (its common name does not count)"
	case len(names) > maxNames:
		names = append(names[:maxNames], "…")
	}
	return strings.Join(names, ", ")
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// hostOf is the host and port of the connection.
func hostOf(cfg config.MQTTConnection) string {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return "the broker"
	}
	return u.Host
}
