package link

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uacp"

	"plantgate/internal/config"
	"plantgate/internal/opcua/trust"
)

func TestPasswordIsNotSentInClear(t *testing.T) {
	t.Parallel()
	endpoint := func(policies ...string) *ua.EndpointDescription {
		ep := &ua.EndpointDescription{SecurityPolicyURI: ua.SecurityPolicyURINone, SecurityMode: ua.MessageSecurityModeNone}
		for _, p := range policies {
			ep.UserIdentityTokens = append(ep.UserIdentityTokens, &ua.UserTokenPolicy{TokenType: ua.UserTokenTypeUserName, SecurityPolicyURI: p})
		}
		return ep
	}
	cfg := config.OPCUAConnection{Username: "u", Password: "p", SecurityMode: config.ModeNone}
	for name, tc := range map[string]struct {
		ep      *ua.EndpointDescription
		allowed bool
	}{
		"clear only":      {endpoint(ua.SecurityPolicyURINone), false},
		"policy left out": {endpoint(""), false},
		"encrypted too":   {endpoint(ua.SecurityPolicyURINone, ua.SecurityPolicyURIBasic256Sha256), true},
		"anonymous only":  {endpoint(), false},
	} {
		_, err := identify(nil, cfg, tc.ep, time.Now())
		if (err == nil) != tc.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg.SecurityMode = config.ModeSignAndEncrypt
	if _, err := identify(nil, cfg, endpoint(ua.SecurityPolicyURINone), time.Now()); err != nil {
		t.Errorf("within an encrypted channel: %v", err)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection reset")
	cases := map[string]struct {
		err     error
		secured bool
		refusal bool
		want    string
	}{
		"wrong password":        {ua.StatusBadUserAccessDenied, true, true, "username and password"},
		"not trusted":           {ua.StatusBadSecurityChecksFailed, true, true, trust.PublicCertFile},
		"reason of a transport": {&uacp.Error{ErrorCode: uint32(ua.StatusBadCertificateUntrusted)}, true, true, trust.PublicCertFile},
		"ended when secured":    {io.EOF, true, false, trust.PublicCertFile},
		"ended in the clear":    {io.EOF, false, false, "EOF"},
		"full":                  {ua.StatusBadTooManySessions, false, false, "the server takes no more sessions: raise its limit"},
		"network":               {lost, true, false, lost.Error()},
	}
	for name, tc := range cases {
		cfg := config.OPCUAConnection{Username: "u"}
		if tc.secured {
			cfg.SecurityMode = config.ModeSign
		}
		err := explain(tc.err, cfg, trust.Own{File: trust.PublicCertFile})
		var r *trust.Refusal
		if errors.As(err, &r) != tc.refusal || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFilesAreChecked: what a session would need of this machine is looked for without
// one; nothing is made.
func TestFilesAreChecked(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if _, err := trust.ReadOwn(config.OPCUAConnection{}, folder, time.Now()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "opcua-client.pem"))
	if err != nil {
		t.Fatal(err)
	}
	good, bad, missing := filepath.Join(folder, "good"), filepath.Join(folder, "bad"), filepath.Join(folder, "missing")
	for file, content := range map[string][]byte{good: text, bad: []byte("x")} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secure := config.OPCUAConnection{Endpoint: "opc.tcp://127.0.0.1:4840", SecurityMode: config.ModeSign}
	for name, c := range map[string]struct {
		change func(*config.OPCUAConnection)
		fault  string
	}{
		"nothing needed": {func(*config.OPCUAConnection) {}, ""},
		"all there": {func(c *config.OPCUAConnection) {
			c.CertFile, c.KeyFile, c.ServerCAFile, c.PasswordFile = good, good, good, good
		}, ""},
		"no certificate":    {func(c *config.OPCUAConnection) { c.CertFile, c.KeyFile = missing, good }, "cert_file"},
		"no key":            {func(c *config.OPCUAConnection) { c.CertFile, c.KeyFile = good, missing }, "key_file"},
		"a bad certificate": {func(c *config.OPCUAConnection) { c.CertFile, c.KeyFile = bad, good }, "certificate"},
		"no authority":      {func(c *config.OPCUAConnection) { c.ServerCAFile = missing }, "server_ca_file"},
		"a bad authority":   {func(c *config.OPCUAConnection) { c.ServerCAFile = bad }, "server_ca_file"},
		"no password":       {func(c *config.OPCUAConnection) { c.PasswordFile = missing }, "password_file"},
		"what is not used": {func(c *config.OPCUAConnection) {
			c.SecurityMode, c.CertFile, c.KeyFile = config.ModeNone, missing, missing
		}, ""},
	} {
		cfg := secure
		c.change(&cfg)
		err := CheckFiles(cfg, time.Now())
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
