package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// connectTimeout bounds one attempt: dial, TLS handshake and CONNACK.
const connectTimeout = 10 * time.Second

// credentials are what a connection proves itself with. They are read anew for
// each connect, so that rotated secrets and certificates need no restart.
type credentials struct {
	username, password string
	tls                *tls.Config // nil without TLS
}

// readCredentials reads secrets and certificates. Errors name the setting, not
// the path or the content; the cause, for logs, is wrapped.
func readCredentials(cfg config.MQTTConnection) (credentials, error) {
	c := credentials{username: cfg.Username, password: cfg.Password}
	var err error
	if cfg.UsernameFile != "" {
		if c.username, err = readSecret(cfg.UsernameFile, "username_file"); err != nil {
			return credentials{}, err
		}
	}
	if cfg.PasswordFile != "" {
		if c.password, err = readSecret(cfg.PasswordFile, "password_file"); err != nil {
			return credentials{}, err
		}
	}
	if usesTLS(cfg.URL) {
		if c.tls, err = clientTLS(cfg); err != nil {
			return credentials{}, err
		}
	}
	return c, nil
}

// readSecret drops the line end that editors leave.
func readSecret(path, setting string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", mes.Wrap(mes.CodeInvalid, err, setting+" can't be read")
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func usesTLS(text string) bool {
	scheme, _, _ := strings.Cut(text, ":")
	switch scheme {
	case "ssl", "tls", "mqtts", "wss":
		return true
	}
	return false
}

func clientTLS(cfg config.MQTTConnection) (*tls.Config, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, mes.Errorf(mes.CodeInvalid, "url is not a URL")
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.TLS.ServerName}
	if cfg.TLS.MinVersion == config.TLS13 {
		c.MinVersion = tls.VersionTLS13
	}
	if c.ServerName == "" {
		c.ServerName = u.Hostname()
	}
	if cfg.TLS.CAFile != "" {
		pem, err := os.ReadFile(cfg.TLS.CAFile)
		if err != nil {
			return nil, mes.Wrap(mes.CodeInvalid, err, "tls.ca_file can't be read")
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, mes.Errorf(mes.CodeInvalid, "tls.ca_file has no certificate in PEM form")
		}
	}
	if cfg.TLS.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(cfg.TLS.CertFile, cfg.TLS.KeyFile)
		if err != nil {
			return nil, mes.Wrap(mes.CodeInvalid, err, "tls.cert_file and tls.key_file are no pair of certificate and key")
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// dial opens the network connection. Unlike the client's own dialler it ends
// with ctx, so that a stop need not wait for a broker that does not answer.
func dial(ctx context.Context, u *url.URL, tlsConfig *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	switch {
	case u.Scheme == "ws" || u.Scheme == "wss":
		return paho.NewWebsocket(u.String(), tlsConfig, connectTimeout, http.Header{}, nil)
	case tlsConfig != nil:
		d := tls.Dialer{Config: tlsConfig}
		return d.DialContext(ctx, "tcp", u.Host)
	default:
		var d net.Dialer
		return d.DialContext(ctx, "tcp", u.Host)
	}
}
