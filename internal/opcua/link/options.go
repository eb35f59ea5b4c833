package link

import (
	"context"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/opcua/trust"
)

// clientOptions prepares a connection. With security on, or with a password to
// send, it asks the server for its endpoints first, and verifies the
// certificate of the chosen one: the library itself never does.
func clientOptions(ctx context.Context, cfg config.OPCUAConnection, deps Deps, t Timing) ([]opcua.Option, error) {
	opts := []opcua.Option{
		opcua.AutoReconnect(false),
		opcua.DialTimeout(t.Open),
		opcua.RequestTimeout(t.Request),
		opcua.SessionTimeout(sessionTimeout(cfg)),
		opcua.SessionName("plantgate " + cfg.Name),
		opcua.ApplicationName("plantgate"),
		opcua.ApplicationURI(trust.ApplicationURI()),
		opcua.ProductURI("urn:plantgate"),
	}
	if !cfg.Secured() && cfg.Username == "" && cfg.UserCertFile == "" {
		return append(opts, opcua.SecurityPolicy(config.PolicyNone), opcua.SecurityMode(ua.MessageSecurityModeNone)), nil
	}
	ep, err := chooseEndpoint(ctx, cfg, t)
	if err != nil {
		return nil, err
	}
	// A password is encrypted for whoever shows the certificate, also where the
	// channel is not secured.
	if err := deps.Verify(ctx, cfg, ep); err != nil {
		return nil, err
	}
	if cfg.Secured() {
		own, err := trust.ReadOwn(cfg, deps.Folder, deps.Now())
		if err != nil {
			return nil, err
		}
		opts = append(opts, opcua.Certificate(own.Chain), opcua.PrivateKey(own.Key))
	}
	return identify(opts, cfg, ep)
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
		if _, err := trust.ReadUser(cfg); err != nil {
			return err
		}
	}
	_, err := readPassword(cfg)
	return err
}

// sessionTimeout is how long the server keeps a session that says nothing. It
// is short, since the rebuilt connection takes a new one and servers allow few.
func sessionTimeout(cfg config.OPCUAConnection) time.Duration {
	return max(20*time.Second, 4*cfg.Watchdog)
}
