package opcua

import (
	"context"
	"crypto/x509"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/trust"
)

// warnAgain is how often a certificate that ends soon is warned of.
const warnAgain = 24 * time.Hour

// watchCertificates tells until when the connection's own certificates are valid, and warns
// of those that end soon, until ctx ends. Sessions last for months, so that connects would
// tell too seldom.
func (a *Adapter) watchCertificates(ctx context.Context) {
	warned := map[mes.CertificateUse]time.Time{}
	look := time.NewTicker(a.timing.certificates)
	defer look.Stop()
	for {
		a.lookAtCertificates(warned)
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// lookAtCertificates sees to the successor of the own certificate too: reading makes it.
func (a *Adapter) lookAtCertificates(warned map[mes.CertificateUse]time.Time) {
	now := a.deps.Now()
	if a.cfg.Secured() {
		own, err := trust.ReadOwn(a.cfg, a.deps.Folder, now)
		a.warnOf(mes.CertificateOfClient, own, err, now, warned)
	}
	if a.cfg.UserCertFile != "" {
		user, err := trust.ReadUser(a.cfg, now)
		a.warnOf(mes.CertificateOfUser, user, err, now, warned)
	}
	if server := a.status.certificate(mes.CertificateOfServer); !server.IsZero() {
		a.warnOf(mes.CertificateOfServer, trust.Own{Leaf: &x509.Certificate{NotAfter: server}, File: "of the server"}, nil, now, warned)
	}
}

func (a *Adapter) warnOf(use mes.CertificateUse, c trust.Own, err error, now time.Time, warned map[mes.CertificateUse]time.Time) {
	if c.Leaf != nil {
		a.status.certificateEnds(use, c.Leaf.NotAfter)
	}
	isSoon := c.Leaf != nil && now.Add(trust.RenewBefore).After(c.Leaf.NotAfter)
	if err == nil && !isSoon || now.Sub(warned[use]) < warnAgain {
		return
	}
	warned[use] = now
	attrs := []any{"certificate", string(use)}
	switch {
	case err != nil:
		attrs = append(attrs, "error", err)
		a.deps.Logger.Warn("opcua: a certificate can't be used", attrs...)
		return
	case c.NextFault != nil:
		attrs = append(attrs, "error", c.NextFault)
	case c.Next != "":
		// Servers that trust both lose no minute.
		attrs = append(attrs, "let_servers_trust", c.Next)
	}
	attrs = append(attrs, "file", c.File, "ends", c.Leaf.NotAfter.UTC().Format(time.RFC3339), "days", mes.CertificateEnd{NotAfter: c.Leaf.NotAfter}.Days(now))
	a.deps.Logger.Warn("opcua: a certificate ends soon", attrs...)
}

// serverShown notes the certificate of a server with which a session was made.
func (a *Adapter) serverShown(c *x509.Certificate) {
	a.status.certificateEnds(mes.CertificateOfServer, c.NotAfter)
}
