package link

import (
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"

	"plantgate/internal/config"
	"plantgate/internal/opcua/trust"
)

func certificate(t *testing.T) []byte {
	t.Helper()
	own, err := trust.ReadOwn(config.OPCUAConnection{}, t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return own.Chain
}

// offer makes endpoints of "policy/mode".
func offer(texts ...string) []*ua.EndpointDescription {
	list := []*ua.EndpointDescription{nil}
	for _, text := range texts {
		policy, mode, _ := strings.Cut(text, "/")
		list = append(list, &ua.EndpointDescription{
			SecurityPolicyURI: ua.FormatSecurityPolicyURI(policy), SecurityMode: ua.MessageSecurityModeFromString(mode),
		})
	}
	return list
}

// TestEndpointIsNotDowngraded: it is the configured one, or the strongest of the mode, or none.
func TestEndpointIsNotDowngraded(t *testing.T) {
	t.Parallel()
	const sign, encrypt = config.ModeSign, config.ModeSignAndEncrypt
	all := []string{
		"None/None", "Basic128Rsa15/SignAndEncrypt", "Basic256/SignAndEncrypt", "Aes128_Sha256_RsaOaep/SignAndEncrypt",
		"Basic256Sha256/Sign", "Basic256Sha256/SignAndEncrypt", "Aes256_Sha256_RsaPss/SignAndEncrypt",
	}
	for _, tc := range []struct {
		policy, mode string
		offered      []string
		want         string
	}{
		{config.PolicyAes128Sha256RsaOaep, encrypt, all, "Aes128_Sha256_RsaOaep/SignAndEncrypt"},
		{config.PolicyAes128Sha256RsaOaep, sign, all, ""},
		{config.PolicyBest, encrypt, all, "Aes256_Sha256_RsaPss/SignAndEncrypt"},
		{config.PolicyBest, encrypt, all[:6], "Basic256Sha256/SignAndEncrypt"},
		{config.PolicyBest, encrypt, all[:4], "Aes128_Sha256_RsaOaep/SignAndEncrypt"},
		{config.PolicyBest, encrypt, all[:3], ""},
		{config.PolicyBest, sign, all, "Basic256Sha256/Sign"},
		{config.PolicyBest, encrypt, nil, ""},
		{config.PolicyNone, config.ModeNone, all, "None/None"},
		{"", "", all, "None/None"},
	} {
		ep, err := ChooseEndpoint(config.OPCUAConnection{SecurityPolicy: tc.policy, SecurityMode: tc.mode}, offer(tc.offered...))
		got := ""
		if err == nil {
			got = Offer([]*ua.EndpointDescription{ep})
		}
		if got != tc.want {
			t.Errorf("%s/%s of %v: %q (%v), want %q", tc.policy, tc.mode, tc.offered, got, err, tc.want)
		}
	}
}

// TestSessionAgreesWithEndpoint: what was told unsigned is compared with what the session was
// made with.
func TestSessionAgreesWithEndpoint(t *testing.T) {
	t.Parallel()
	one, two := certificate(t), certificate(t)
	password := &ua.UserTokenPolicy{PolicyID: "p", TokenType: ua.UserTokenTypeUserName, SecurityPolicyURI: ua.SecurityPolicyURIBasic256Sha256}
	plain := &ua.UserTokenPolicy{PolicyID: "p", TokenType: ua.UserTokenTypeUserName, SecurityPolicyURI: ua.SecurityPolicyURINone}
	with := func(list []*ua.EndpointDescription, tokens ...*ua.UserTokenPolicy) []*ua.EndpointDescription {
		for _, ep := range list[1:] {
			ep.UserIdentityTokens, ep.ServerCertificate = tokens, one
		}
		return list
	}
	best := config.OPCUAConnection{SecurityPolicy: config.PolicyBest, SecurityMode: config.ModeSign}
	none := config.OPCUAConnection{SecurityPolicy: config.PolicyNone, SecurityMode: config.ModeNone}
	weak, strong := "Aes128_Sha256_RsaOaep/Sign", "Aes256_Sha256_RsaPss/Sign"
	chained := append(append([]byte{}, one...), two...)
	for name, tc := range map[string]struct {
		cfg              config.OPCUAConnection
		told             []*ua.EndpointDescription
		channel, session []byte
		signed           []*ua.EndpointDescription
		want             string
	}{
		"the same":                 {best, with(offer(strong), password), one, one, with(offer(weak, strong), password), ""},
		"a chain here and there":   {best, with(offer(strong), password), chained, one, with(offer(strong), password), ""},
		"nothing is signed":        {best, with(offer(strong), password), one, one, nil, ""},
		"a stronger was left out":  {best, with(offer(weak), password), one, one, with(offer(weak, strong), password), "offered something else"},
		"it was never offered":     {best, with(offer(strong), password), one, one, with(offer(weak), password), "offered something else"},
		"the password in clear":    {best, with(offer(strong), plain), one, one, with(offer(strong), password), "takes other users"},
		"another channel":          {best, with(offer(strong), password), two, one, with(offer(strong), password), "opened the channel"},
		"no channel's certificate": {best, with(offer(strong), password), nil, one, with(offer(strong), password), "opened the channel"},
		"another session":          {best, with(offer(strong), password), one, two, with(offer(strong), password), "made the session"},
		"another, unsecured":       {none, with(offer("None/None"), password), nil, two, with(offer("None/None"), password), "made the session"},
		"unsecured":                {none, with(offer("None/None"), password), nil, one, nil, ""},
	} {
		err := compare(tc.cfg, tc.told[1], &uasc.Config{RemoteCertificate: tc.channel}, &ua.CreateSessionResponse{ServerCertificate: tc.session, ServerEndpoints: tc.signed})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

// TestWhatIsNotKnownIsRefused: without a session there is nothing to compare with. That the
// library still has what is compared, the integration tests show.
func TestWhatIsNotKnownIsRefused(t *testing.T) {
	t.Parallel()
	c, err := opcua.NewClient("opc.tcp://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := agrees(c, config.OPCUAConnection{}, offer("None/None")[1]); err == nil {
		t.Error("what is not known agrees")
	}
}
