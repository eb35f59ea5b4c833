package link

import (
	"context"
	"errors"
	"fmt"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"

	"plantgate/internal/config"
)

// ErrSessionGone means that the server is there, and does not let a session be taken up.
var ErrSessionGone = errors.New("the server has the session no more")

// ErrNotTakenUp means that the server is there, and the attempt to take up a session led to
// nothing: there was no answer, or the connection was lost.
var ErrNotTakenUp = errors.New("the session was not taken up")

// Resume connects anew and takes up a session that has lost its connection, with all that
// it has at the server (OPC 10000-4, 5.7.3.1), within the time-out. The error is
// ErrSessionGone where there is nothing to take up, ErrNotTakenUp where that is not known;
// any other says nothing of the session. After an error nothing is open, and the session
// may be tried again.
func Resume(ctx context.Context, cfg config.OPCUAConnection, deps Deps, t Timing, s *opcua.Session) (*opcua.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Open)
	defer cancel()
	p, err := prepare(ctx, cfg, deps, t)
	if err != nil {
		return nil, err
	}
	c, err := opcua.NewClient(cfg.Endpoint, p.options...)
	if err != nil {
		return nil, fmt.Errorf("prepare the client: %w", err)
	}
	if err := resume(ctx, c, s, cfg, p); err != nil {
		_, _ = c.DetachSession(ctx) // it stays for another try
		Close(ctx, c, t)
		return nil, err
	}
	if p.endpoint != nil {
		deps.shown(p.endpoint.ServerCertificate)
	}
	return c, nil
}

func resume(ctx context.Context, c *opcua.Client, s *opcua.Session, cfg config.OPCUAConnection, p prepared) error {
	if err := c.Dial(ctx); err != nil {
		return explain(err, cfg, p.own)
	}
	// Before anything of the user is sent.
	if channel, _ := hidden[uasc.Config](c.SecureChannel(), "cfg"); p.endpoint != nil {
		if err := compareChannel(cfg, p.endpoint, channel); err != nil {
			return err
		}
	}
	if err := c.ActivateSession(ctx, s); err != nil {
		if said(err) {
			return fmt.Errorf("%w: %w", ErrSessionGone, err)
		}
		return fmt.Errorf("%w: %w", ErrNotTakenUp, err)
	}
	if c.Session() != s { // the library could not sign
		return ErrSessionGone
	}
	if err := c.UpdateNamespaces(ctx); err != nil {
		return fmt.Errorf("%w: read the server's namespaces: %w", ErrNotTakenUp, err)
	}
	return nil
}

// said tells whether an error is the server's word, not a time-out or a lost connection.
func said(err error) bool {
	var code ua.StatusCode
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case ua.StatusBadTimeout, ua.StatusBadServerNotConnected, ua.StatusBadConnectionClosed, ua.StatusBadSecureChannelClosed:
		return false
	}
	return true
}
