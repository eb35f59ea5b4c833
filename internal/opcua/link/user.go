package link

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/opcua/trust"
)

// identify adds the user and the endpoint's security. Of the endpoint's ways to
// send a password it takes an encrypted one if there is any.
func identify(opts []opcua.Option, cfg config.OPCUAConnection, ep *ua.EndpointDescription, now time.Time) ([]opcua.Option, error) {
	if cfg.UserCertFile != "" {
		return identifyByCertificate(opts, cfg, ep, now)
	}
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
		return nil, trust.Refuse("the server's endpoint takes no user name and password")
	case passwordInClear(token, cfg):
		return nil, trust.Refuse("the server would have the password sent in clear: configure security_policy and security_mode")
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
	return p.SecurityPolicyURI == ua.SecurityPolicyURINone || (p.SecurityPolicyURI == "" && !cfg.Secured())
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

// identifyByCertificate has the user prove the key of a certificate.
func identifyByCertificate(opts []opcua.Option, cfg config.OPCUAConnection, ep *ua.EndpointDescription, now time.Time) ([]opcua.Option, error) {
	i := slices.IndexFunc(ep.UserIdentityTokens, func(p *ua.UserTokenPolicy) bool { return p.TokenType == ua.UserTokenTypeCertificate })
	if i < 0 {
		return nil, trust.Refuse("the server's endpoint takes no certificate of a user")
	}
	user, err := trust.ReadUser(cfg, now)
	if err != nil {
		return nil, err
	}
	chosen := *ep
	chosen.UserIdentityTokens = []*ua.UserTokenPolicy{ep.UserIdentityTokens[i]}
	return append(opts,
		opcua.AuthCertificate(user.Leaf.Raw), opcua.AuthPrivateKey(user.Key),
		opcua.SecurityFromEndpoint(&chosen, ua.UserTokenTypeCertificate)), nil
}
