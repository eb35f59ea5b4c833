package opcua

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uacp"

	"plantgate/internal/config"
)

// refusal is a failure that a person has to mend: a wrong password, a
// certificate that is not trusted. It is tried again seldom, so that accounts
// are not locked.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

func refuse(format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...)}
}

// explain turns the server's refusals into words that say what to do. A server
// that does not trust the certificate may just end the connection: it does send
// a reason, but the library drops it. That may pass, so it is no refusal.
func explain(err error, secured bool) error {
	var code ua.StatusCode
	var transport *uacp.Error
	switch {
	case errors.As(err, &transport): // the server closed the connection with a reason
		code = ua.StatusCode(transport.ErrorCode)
	case secured && errors.Is(err, io.EOF):
		return fmt.Errorf("the server ended the secured connection; "+
			"if that goes on, let it trust plantgate's certificate (%s): %w", publicCertFile, err)
	case !errors.As(err, &code):
		return err
	}
	switch code {
	case ua.StatusBadUserAccessDenied, ua.StatusBadIdentityTokenRejected, ua.StatusBadIdentityTokenInvalid:
		return refuse("the server refuses the user: check username and password (%s)", statusText(code))
	case ua.StatusBadCertificateUntrusted, ua.StatusBadSecurityChecksFailed, ua.StatusBadCertificateInvalid,
		ua.StatusBadCertificateTimeInvalid, ua.StatusBadCertificateURIInvalid, ua.StatusBadCertificateUseNotAllowed:
		return refuse("the server does not trust plantgate's certificate: trust %s there (%s)", publicCertFile, statusText(code))
	case ua.StatusBadSecurityPolicyRejected, ua.StatusBadSecurityModeRejected:
		return refuse("the server does not offer this security policy and mode (%s)", statusText(code))
	}
	return err
}

// clientOptions prepares a connection. With security on, or with a password to
// send, it asks the server for its endpoints first, and verifies the
// certificate of the chosen one: the library itself never does.
func clientOptions(ctx context.Context, cfg config.OPCUAConnection, deps Deps, t timing) ([]opcua.Option, error) {
	opts := []opcua.Option{
		opcua.AutoReconnect(false),
		opcua.DialTimeout(t.open),
		opcua.RequestTimeout(t.request),
		opcua.SessionTimeout(sessionTimeout(cfg)),
		opcua.SessionName("plantgate " + cfg.Name),
		opcua.ApplicationName("plantgate"),
		opcua.ApplicationURI(applicationURI()),
		opcua.ProductURI("urn:plantgate"),
	}
	if !secured(cfg) && cfg.Username == "" {
		return append(opts, opcua.SecurityPolicy(config.PolicyNone), opcua.SecurityMode(ua.MessageSecurityModeNone)), nil
	}
	ep, err := chooseEndpoint(ctx, cfg, t)
	if err != nil {
		return nil, err
	}
	// A password is encrypted for whoever shows the certificate, also where the
	// channel is not secured.
	if err := verifyServer(ep.ServerCertificate, cfg, deps.Now()); err != nil {
		return nil, err
	}
	if secured(cfg) {
		own, err := clientCertificate(cfg, deps.Folder, deps.Now())
		if err != nil {
			return nil, err
		}
		opts = append(opts, opcua.Certificate(own.chain), opcua.PrivateKey(own.key))
	}
	return identify(opts, cfg, ep)
}

func secured(cfg config.OPCUAConnection) bool {
	return cfg.SecurityMode != config.ModeNone && cfg.SecurityMode != ""
}

// chooseEndpoint returns the server's endpoint of the configured policy and
// mode. The server's own URLs are ignored: behind address translation they lead
// nowhere.
func chooseEndpoint(ctx context.Context, cfg config.OPCUAConnection, t timing) (*ua.EndpointDescription, error) {
	endpoints, err := opcua.GetEndpoints(ctx, cfg.Endpoint, opcua.DialTimeout(t.open), opcua.RequestTimeout(t.request))
	if err != nil {
		return nil, fmt.Errorf("ask the server for its endpoints: %w", err)
	}
	policy := ua.FormatSecurityPolicyURI(firstNonEmpty(cfg.SecurityPolicy, config.PolicyNone))
	mode := ua.MessageSecurityModeFromString(firstNonEmpty(cfg.SecurityMode, config.ModeNone))
	var offered []string
	for _, ep := range endpoints {
		if ep.SecurityPolicyURI == policy && ep.SecurityMode == mode {
			return ep, nil
		}
		_, name, _ := strings.Cut(ep.SecurityPolicyURI, "#")
		offered = append(offered, name+"/"+strings.TrimPrefix(ep.SecurityMode.String(), "MessageSecurityMode"))
	}
	return nil, refuse("the server offers no endpoint with %s/%s, only %s",
		cfg.SecurityPolicy, cfg.SecurityMode, strings.Join(offered, ", "))
}

// verifyServer checks the certificate that the server shows, by its thumbprint
// or by the CA that signed it. chain is DER, the server's own certificate first.
func verifyServer(chain []byte, cfg config.OPCUAConnection, now time.Time) error {
	certs, err := x509.ParseCertificates(chain)
	if err != nil || len(certs) == 0 {
		return refuse("the server shows no certificate that can be read")
	}
	leaf := certs[0]
	sum := sha256.Sum256(leaf.Raw)
	seen := hex.EncodeToString(sum[:])
	if cfg.ServerThumbprint != "" {
		want, err := config.ParseThumbprint(cfg.ServerThumbprint)
		if err != nil {
			return refuse("server_thumbprint: %v", err)
		}
		if want != sum {
			return refuse("the server's certificate (%s) has the SHA-256 thumbprint %s, not the configured one; "+
				"if it is the right server, set server_thumbprint to it", leaf.Subject, seen)
		}
		return nil
	}
	if cfg.ServerCAFile == "" {
		return refuse("the server's certificate (%s) has the SHA-256 thumbprint %s; "+
			"if that is the server's own, set server_thumbprint to it", leaf.Subject, seen)
	}
	roots, err := readRoots(cfg)
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
		return refuse("the server's certificate (%s, SHA-256 thumbprint %s) is not trusted: %v; "+
			"correct server_ca_file, or set server_thumbprint", leaf.Subject, seen, err)
	}
	return nil
}

func readRoots(cfg config.OPCUAConnection) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	pemText, err := os.ReadFile(cfg.ServerCAFile)
	if err != nil {
		return nil, fmt.Errorf("server_ca_file: %w", err)
	}
	if !roots.AppendCertsFromPEM(pemText) {
		return nil, refuse("server_ca_file holds no PEM certificate")
	}
	return roots, nil
}

// checkFiles fails if a file that a session would need can't be used.
func checkFiles(cfg config.OPCUAConnection, now time.Time) error {
	if secured(cfg) && cfg.CertFile != "" {
		if _, err := clientCertificate(cfg, "", now); err != nil {
			return err
		}
	}
	if cfg.ServerCAFile != "" && cfg.ServerThumbprint == "" {
		if _, err := readRoots(cfg); err != nil {
			return err
		}
	}
	_, err := readPassword(cfg)
	return err
}

// identify adds the user and the endpoint's security. Of the endpoint's ways to
// send a password it takes an encrypted one if there is any.
func identify(opts []opcua.Option, cfg config.OPCUAConnection, ep *ua.EndpointDescription) ([]opcua.Option, error) {
	if cfg.Username == "" {
		return append(opts, opcua.SecurityFromEndpoint(ep, ua.UserTokenTypeAnonymous)), nil
	}
	var token *ua.UserTokenPolicy
	for _, p := range ep.UserIdentityTokens {
		if p.TokenType == ua.UserTokenTypeUserName && (token == nil || passwordInClear(token, cfg)) {
			token = p
		}
	}
	switch {
	case token == nil:
		return nil, refuse("the server's endpoint takes no user name and password")
	case passwordInClear(token, cfg):
		return nil, refuse("the server would have the password sent in clear: configure security_policy and security_mode")
	}
	password, err := readPassword(cfg)
	if err != nil {
		return nil, err
	}
	chosen := *ep
	chosen.UserIdentityTokens = []*ua.UserTokenPolicy{token}
	return append(opts,
		opcua.AuthUsername(cfg.Username, password),
		opcua.SecurityFromEndpoint(&chosen, ua.UserTokenTypeUserName)), nil
}

func passwordInClear(p *ua.UserTokenPolicy, cfg config.OPCUAConnection) bool {
	if cfg.SecurityMode == config.ModeSignAndEncrypt {
		return false
	}
	return p.SecurityPolicyURI == ua.SecurityPolicyURINone || (p.SecurityPolicyURI == "" && !secured(cfg))
}

// readPassword is called at each connect, so that a changed file counts.
func readPassword(cfg config.OPCUAConnection) (string, error) {
	if cfg.PasswordFile == "" {
		return cfg.Password, nil
	}
	b, err := os.ReadFile(cfg.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("password_file: %w", err)
	}
	return string(bytes.TrimRight(b, "\r\n")), nil
}

func pemBlocks(text []byte, kind string) []byte {
	var der []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == kind {
			der = append(der, block.Bytes...)
		}
	}
	return der
}
