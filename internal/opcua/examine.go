package opcua

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/doctor"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/trust"
)

// maxSkew is how far the clocks of a server and of this machine may differ: as far as
// data.max_future lets source times be ahead, with room.
const maxSkew = 10 * time.Second

// Examine holds a connection's configuration against its server: whether it answers, which
// security it offers, whether its certificate is trusted, and what its clock says; and its
// nodes, by a session. folder has plantgate's own certificate, which is not made here.
func Examine(ctx context.Context, cfg config.OPCUAConnection, deps link.Deps, report *doctor.Report) {
	s := report.On("opcua " + cfg.Name)
	if examineServer(ctx, cfg, deps, s) {
		examineNodes(ctx, cfg, deps, s)
	}
}

// examineServer looks at all but nodes, and tells whether a session may be tried.
func examineServer(ctx context.Context, cfg config.OPCUAConnection, deps link.Deps, s *doctor.Subject) bool {
	t := link.DefaultTiming()
	ctx, cancel := context.WithTimeout(ctx, t.Open+t.Request)
	defer cancel()
	if cfg.CertFile != "" {
		s.CertificateFile("cert_file", cfg.CertFile, time.Now())
	}
	if cfg.UserCertFile != "" {
		s.CertificateFile("user_cert_file", cfg.UserCertFile, time.Now())
	}
	if cfg.Secured() && cfg.CertFile == "" {
		examineOwn(deps, s)
	}
	if cfg.ServerCAFile != "" {
		s.CertificateFile("server_ca_file", cfg.ServerCAFile, time.Now())
	}
	if !dials(ctx, cfg, s) {
		return false
	}
	res, err := endpointsOf(ctx, cfg, t)
	if err != nil {
		s.Fail("endpoints", "is this the port of an OPC UA server?", "the server does not tell its endpoints")
		return false
	}
	chosen := offered(cfg, res.Endpoints, s)
	compareClocks(res, s)
	if chosen == nil || !cfg.Secured() && cfg.Username == "" && cfg.UserCertFile == "" {
		return chosen != nil
	}
	if list, err := x509.ParseCertificates(chosen.ServerCertificate); err == nil && len(list) > 0 {
		s.Expiry("server certificate's time", list[0], time.Now())
	}
	if err := deps.Verify(ctx, cfg, chosen); err != nil {
		s.Fail("server certificate", "", "%s", err)
		return false
	}
	s.OK("server certificate", "it is trusted")
	return true
}

// examineOwn looks at the certificate that plantgate made for itself. It takes another one
// itself when this one ends, which servers have to trust.
func examineOwn(deps link.Deps, s *doctor.Subject) {
	const check = "own certificate"
	now := time.Now()
	own, err := trust.ReadMade(deps.Folder, now)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Note(check, "let the server trust "+trust.PublicCertFile+" once it is there", "it is made at the first connect")
	case err != nil:
		s.Fail(check, "let the program's user read the folder of server.tls.folder", "%s", err)
	case own.Next != "":
		s.Warn(check, "let the server trust "+own.Next+" too: it takes over by itself", "%s is valid until %s", own.File, own.Leaf.NotAfter.UTC().Format(time.RFC3339))
	default:
		s.Expiry(check, own.Leaf, now)
	}
}

func dials(ctx context.Context, cfg config.OPCUAConnection, s *doctor.Subject) bool {
	u, err := url.Parse(cfg.Endpoint)
	if err != nil {
		s.Fail("endpoint", "correct it", "it is not a URL")
		return false
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "4840") // OPC 10000-6, 7.1
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		s.Fail("name", "check endpoint and the name server", "%s can't be resolved", u.Hostname())
		return false
	case err != nil:
		s.Fail("tcp", "is the server running, the port right, and the firewall open?", "%s does not answer", host)
		return false
	}
	_ = conn.Close()
	s.OK("tcp", "%s answers", conn.RemoteAddr())
	return true
}

// endpointsOf asks the server what it offers.
func endpointsOf(ctx context.Context, cfg config.OPCUAConnection, t link.Timing) (*ua.GetEndpointsResponse, error) {
	c, err := opcua.NewClient(cfg.Endpoint, opcua.AutoReconnect(false), opcua.DialTimeout(t.Open), opcua.RequestTimeout(t.Request))
	if err != nil {
		return nil, err
	}
	if err := c.Dial(ctx); err != nil {
		return nil, err
	}
	defer func() { _ = c.Close(ctx) }()
	return c.GetEndpoints(ctx)
}

// offered compares what the server offers with what is configured.
func offered(cfg config.OPCUAConnection, endpoints []*ua.EndpointDescription, s *doctor.Subject) *ua.EndpointDescription {
	chosen, err := link.ChooseEndpoint(cfg, endpoints)
	list := link.Offer(endpoints)
	better := slices.ContainsFunc(endpoints, func(ep *ua.EndpointDescription) bool {
		return ep != nil && ep.SecurityMode == ua.MessageSecurityModeSignAndEncrypt
	})
	switch {
	case err != nil:
		s.Fail("security", "set security_policy and security_mode to one of these", "%s/%s is not offered, only %s", cfg.Policy(), cfg.Mode(), list)
		return nil
	case !cfg.Secured() && better:
		s.Warn("security", "set security_policy and security_mode", "none is configured, and the server offers %s", list)
	default:
		s.OK("security", "%s is offered, of %s", link.Offer([]*ua.EndpointDescription{chosen}), list)
	}
	return chosen
}

// compareClocks uses the time that the server puts on its answer (OPC 10000-4, 7.33).
func compareClocks(res *ua.GetEndpointsResponse, s *doctor.Subject) {
	if res.ResponseHeader == nil || res.ResponseHeader.Timestamp.IsZero() {
		return
	}
	skew := time.Until(res.ResponseHeader.Timestamp).Round(time.Millisecond)
	if skew.Abs() > maxSkew {
		s.Warn("clock", "set the clocks of both machines by one source (NTP)", "the server's clock differs by %s", skew)
		return
	}
	s.OK("clock", "the server's differs by %s", skew)
}
