package link

import (
	"cmp"
	"context"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/opcua/trust"
)

// prepared is what a connection is made with.
type prepared struct {
	options []opcua.Option
	// endpoint was chosen and its server verified; nil without security and credentials.
	endpoint *ua.EndpointDescription
	// own is the client's certificate, of a connection with security.
	own trust.Own
}

// prepare gets a connection ready. With security on, or with a password to
// send, it asks the server for its endpoints first, and verifies the
// certificate of the chosen one: the library itself never does.
func prepare(ctx context.Context, cfg config.OPCUAConnection, deps Deps, t Timing) (prepared, error) {
	p := prepared{options: []opcua.Option{
		opcua.AutoReconnect(false),
		opcua.DialTimeout(t.Open),
		opcua.RequestTimeout(t.Request),
		opcua.SessionTimeout(cmp.Or(t.Session, sessionTimeout(cfg))),
		opcua.Lifetime(cmp.Or(t.Token, tokenLifetime)),
		opcua.SessionName("plantgate " + cfg.Name),
		opcua.ApplicationName("plantgate"),
		opcua.ApplicationURI(trust.ApplicationURI()),
		opcua.ProductURI("urn:plantgate"),
	}}
	if !cfg.Secured() && cfg.Username == "" && cfg.UserCertFile == "" {
		p.options = append(p.options, opcua.SecurityPolicy(config.PolicyNone), opcua.SecurityMode(ua.MessageSecurityModeNone))
		return p, nil
	}
	ep, err := askEndpoint(ctx, cfg, t)
	if err != nil {
		return p, err
	}
	// A password is encrypted for whoever shows the certificate, also where the
	// channel is not secured.
	if err := deps.Verify(ctx, cfg, ep); err != nil {
		return p, err
	}
	p.endpoint = ep
	if cfg.Secured() {
		if p.own, err = trust.ReadOwn(cfg, deps.Folder, deps.Now()); err != nil {
			return p, err
		}
		p.options = append(p.options, opcua.Certificate(p.own.Chain), opcua.PrivateKey(p.own.Key))
	}
	p.options, err = identify(p.options, cfg, ep, deps.Now())
	return p, err
}

// CheckFiles fails if a file that a session would need can't be used.
func CheckFiles(cfg config.OPCUAConnection, now time.Time) error {
	if cfg.Secured() && cfg.CertFile != "" {
		if _, err := trust.ReadOwn(cfg, "", now); err != nil {
			return err
		}
	}
	if cfg.ServerCAFile != "" && cfg.ServerThumbprint == "" {
		if _, err := trust.ReadRoots(cfg); err != nil {
			return err
		}
	}
	if cfg.UserCertFile != "" {
		if _, err := trust.ReadUser(cfg, now); err != nil {
			return err
		}
	}
	_, err := readPassword(cfg)
	return err
}

// tokenLifetime is how long the keys of a channel last; they are renewed after three
// quarters of it.
const tokenLifetime = time.Hour

// sessionTimeout is how long the server keeps a session that says nothing. It
// is short, since a rebuilt connection may need a new one and servers allow few.
func sessionTimeout(cfg config.OPCUAConnection) time.Duration {
	return max(20*time.Second, 4*cfg.Watchdog)
}
