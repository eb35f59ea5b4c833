// Package certs gives the HTTPS listener its certificate.
//
// In the mode self-signed it keeps an own certificate authority (CA) and a leaf
// of it in a folder: clients trust the CA once, and the leaf is renewed without
// their noticing. In the mode files it serves a certificate that somebody else
// renews, and reads it again when the files change. In the mode off there is
// none.
//
// Keys are ECDSA P-256. Leaves follow the Baseline Requirements of the CA/Browser
// Forum, since browsers refuse others: at most 397 days, random serial numbers,
// names only in the subject alternative name.
package certs

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"plantgate/internal/config"
)

// Material is what a listener needs.
type Material struct {
	// TLS is the listener's configuration; nil where the mode is off.
	TLS *tls.Config
	// CAFile is the certificate that clients have to trust; "" where it is not
	// plantgate's own.
	CAFile string
}

// Open prepares the certificate as configured, making it on the first start.
// The certificate that it serves stays valid for as long as the process runs.
func Open(cfg config.ServerTLS, now func() time.Time, log *slog.Logger) (Material, error) {
	switch cfg.Mode {
	case config.TLSOff:
		return Material{}, nil
	case config.TLSFiles:
		f, err := openFiles(cfg.CertFile, cfg.KeyFile, now, log)
		if err != nil {
			return Material{}, err
		}
		return Material{TLS: serverConfig(f.certificate)}, nil
	case config.TLSSelfSigned, "":
		a, err := openAuthority(cfg.Folder, now())
		if err != nil {
			return Material{}, err
		}
		hosts, err := allHosts(cfg.Hosts)
		if err != nil {
			return Material{}, err
		}
		l, err := openLeaf(a, cfg.Folder, hosts, now, log)
		if err != nil {
			return Material{}, err
		}
		return Material{TLS: serverConfig(l.certificate), CAFile: a.certFile}, nil
	default:
		return Material{}, fmt.Errorf("server.tls.mode: %q is none of self-signed, files and off", cfg.Mode)
	}
}

// serverConfig leaves cipher suites and curves to the standard library, which
// keeps them current.
func serverConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: get,
	}
}
