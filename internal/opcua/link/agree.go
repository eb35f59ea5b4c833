package link

import (
	"bytes"
	"crypto/x509"
	"reflect"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"

	"plantgate/internal/config"
	"plantgate/internal/opcua/trust"
)

// agrees checks what a session was made with against the endpoint that was chosen. The
// list of endpoints that a server tells before is not signed: who sits in between can leave
// out strong ones, or change how a password is to be sent. In the answer that makes the
// session it comes again, signed (OPC 10000-4, 5.7.2). Nor does the library compare the
// certificate of the channel and of the session with the one that was verified.
func agrees(c *opcua.Client, cfg config.OPCUAConnection, ep *ua.EndpointDescription) error {
	channel, res := made(c)
	if res == nil || channel == nil {
		return trust.Refuse("what the server's session was made with can't be compared with its endpoint")
	}
	return compare(cfg, ep, channel, res)
}

// compareChannel checks the certificate of a channel; nil is a channel of which none is
// known.
func compareChannel(cfg config.OPCUAConnection, ep *ua.EndpointDescription, channel *uasc.Config) error {
	if cfg.Secured() && (channel == nil || !sameLeaf(channel.RemoteCertificate, ep.ServerCertificate)) {
		return trust.Refuse("the server opened the channel with another certificate than its endpoint has: somebody may sit in between; " +
			"if a password was configured, change it")
	}
	return nil
}

func compare(cfg config.OPCUAConnection, ep *ua.EndpointDescription, channel *uasc.Config, res *ua.CreateSessionResponse) error {
	if err := compareChannel(cfg, ep, channel); err != nil {
		return err
	}
	// Without security of the channel some servers show none.
	if len(res.ServerCertificate) > 0 && len(ep.ServerCertificate) > 0 && !sameLeaf(res.ServerCertificate, ep.ServerCertificate) {
		return trust.Refuse("the server made the session with another certificate than its endpoint has: somebody may sit in between; " +
			"if a password was configured, change it")
	}
	if !cfg.Secured() || len(res.ServerEndpoints) == 0 {
		return nil
	}
	again, err := ChooseEndpoint(cfg, res.ServerEndpoints)
	if err != nil || again.SecurityPolicyURI != ep.SecurityPolicyURI {
		return trust.Refuse("the server says, signed, that it offers %s, and offered something else before: somebody may sit in between", Offer(res.ServerEndpoints))
	}
	for _, again := range res.ServerEndpoints {
		if again != nil && again.SecurityPolicyURI == ep.SecurityPolicyURI && again.SecurityMode == ep.SecurityMode && sameTokens(again.UserIdentityTokens, ep.UserIdentityTokens) {
			return nil
		}
	}
	return trust.Refuse("the server says, signed, that it takes other users than it said before: somebody may sit in between; " +
		"if a password was configured, change it")
}

// made are the settings of the client's channel and the answer that made its session. The
// library keeps both to itself; nil if that has changed.
func made(c *opcua.Client) (*uasc.Config, *ua.CreateSessionResponse) {
	channel, _ := hidden[uasc.Config](c.SecureChannel(), "cfg")
	res, _ := hidden[ua.CreateSessionResponse](c.Session(), "resp")
	return channel, res
}

// hidden is what a field of a struct points at.
func hidden[T any](of any, field string) (*T, bool) {
	v := reflect.ValueOf(of)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, false
	}
	f := v.Elem().FieldByName(field)
	if !f.IsValid() || f.Type() != reflect.TypeFor[*T]() {
		return nil, false
	}
	return (*T)(f.UnsafePointer()), true
}

// sameLeaf compares the first certificates of two chains: some servers send the chain in one
// place, and the certificate alone in another.
func sameLeaf(a, b []byte) bool {
	one, err := x509.ParseCertificates(a)
	if err != nil || len(one) == 0 {
		return false
	}
	two, err := x509.ParseCertificates(b)
	return err == nil && len(two) > 0 && bytes.Equal(one[0].Raw, two[0].Raw)
}

// sameTokens compares how users may prove who they are.
func sameTokens(a, b []*ua.UserTokenPolicy) bool {
	type key struct {
		id, policy string
		kind       ua.UserTokenType
	}
	set := func(list []*ua.UserTokenPolicy) map[key]bool {
		all := map[key]bool{}
		for _, p := range list {
			if p != nil {
				all[key{p.PolicyID, p.SecurityPolicyURI, p.TokenType}] = true
			}
		}
		return all
	}
	return reflect.DeepEqual(set(a), set(b))
}
