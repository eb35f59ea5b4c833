package link

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/opcua/trust"
)

// Deps is what a session needs of the program.
type Deps struct {
	// Folder holds the client's own certificate, made on first use where none is
	// configured.
	Folder string
	// Judge decides which servers are trusted; nil knows the configuration only.
	Judge *trust.Judge
	Now   func() time.Time
	// Shown gets the certificate of a server with which a session was made, where there
	// is security or somebody to prove who it is; nil where nobody wants to know.
	Shown func(*x509.Certificate)
}

// shown passes a chain's first certificate on.
func (d Deps) shown(chain []byte) {
	if d.Shown == nil {
		return
	}
	if list, err := x509.ParseCertificates(chain); err == nil && len(list) > 0 {
		d.Shown(list[0])
	}
}

// Verify checks that the server of an endpoint is trusted.
func (d Deps) Verify(ctx context.Context, cfg config.OPCUAConnection, ep *ua.EndpointDescription) error {
	uri := ""
	if ep.Server != nil {
		uri = ep.Server.ApplicationURI
	}
	return d.judge().Verify(ctx, cfg, ep.ServerCertificate, uri)
}

func (d Deps) judge() *trust.Judge {
	if d.Judge != nil {
		return d.Judge
	}
	return &trust.Judge{Now: d.Now}
}

// Timing bounds the waits for a server.
type Timing struct {
	Open    time.Duration // dial, secure channel and session, or endpoints
	Request time.Duration // one service call
	Close   time.Duration // closing a connection that may be dead
	// Session is how long the server keeps a session that says nothing, Token how long the
	// keys of a channel last; 0 is what suits the connection.
	Session, Token time.Duration
}

// DefaultTiming is for servers on the plant's network.
func DefaultTiming() Timing {
	return Timing{Open: 5 * time.Second, Request: 5 * time.Second, Close: 2 * time.Second}
}

// Open connects and makes a session, all within the time-out. The error of what a person
// has to mend is a trust.Refusal. After an error nothing is left open.
func Open(ctx context.Context, cfg config.OPCUAConnection, deps Deps, t Timing, more ...opcua.Option) (*opcua.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Open)
	defer cancel()
	p, err := prepare(ctx, cfg, deps, t)
	if err != nil {
		return nil, err
	}
	c, err := opcua.NewClient(cfg.Endpoint, append(p.options, more...)...)
	if err != nil {
		return nil, fmt.Errorf("prepare the client: %w", err)
	}
	if err := connect(ctx, c); err != nil {
		Close(ctx, c, t)
		return nil, explain(err, cfg, p.own)
	}
	if p.endpoint == nil {
		return c, nil
	}
	if err := agrees(c, cfg, p.endpoint); err != nil {
		Close(ctx, c, t)
		return nil, err
	}
	deps.shown(p.endpoint.ServerCertificate)
	return c, nil
}

// connect turns a panic into an error: the library (0.8 and 0.9) uses a session
// that it has not got when the server's signature does not verify.
func connect(ctx context.Context, c *opcua.Client) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the server's answer makes no session: %v", r)
		}
	}()
	return c.Connect(ctx)
}

// Close ends session and connection, also after ctx. A dead server can make that hang for
// longer than the time-out; see Adapter for a wait that does not.
func Close(ctx context.Context, c *opcua.Client, t Timing) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Close)
	defer cancel()
	_ = c.Close(ctx) // nothing is left to do about an error
}

// StatusText is the name and the meaning of a status code.
func StatusText(code ua.StatusCode) string { return strings.TrimSpace(code.Error()) }
