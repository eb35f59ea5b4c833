package link

import (
	"context"
	"fmt"
	"strings"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/opcua/trust"
)

// askEndpoint returns the server's endpoint of the configured policy and mode. The
// server's own URLs are ignored: behind address translation they lead nowhere.
func askEndpoint(ctx context.Context, cfg config.OPCUAConnection, t Timing) (*ua.EndpointDescription, error) {
	endpoints, err := opcua.GetEndpoints(ctx, cfg.Endpoint, opcua.DialTimeout(t.Open), opcua.RequestTimeout(t.Request))
	if err != nil {
		return nil, fmt.Errorf("ask the server for its endpoints: %w", err)
	}
	return ChooseEndpoint(cfg, endpoints)
}

// ChooseEndpoint picks, of what a server offers, the endpoint of the configured policy and
// mode: never another. With the policy best it is the strongest that both know. The error
// is a Refusal.
func ChooseEndpoint(cfg config.OPCUAConnection, endpoints []*ua.EndpointDescription) (*ua.EndpointDescription, error) {
	mode := ua.MessageSecurityModeFromString(cfg.Mode())
	for _, policy := range cfg.Policies() {
		uri := ua.FormatSecurityPolicyURI(policy)
		for _, ep := range endpoints {
			if ep != nil && ep.SecurityPolicyURI == uri && ep.SecurityMode == mode {
				return ep, nil
			}
		}
	}
	return nil, trust.Refuse("the server offers no endpoint with %s/%s, only %s: set security_policy and security_mode to one of these that plantgate knows",
		cfg.Policy(), cfg.Mode(), Offer(endpoints))
}

// Offer names the policies and modes of endpoints, for people.
func Offer(endpoints []*ua.EndpointDescription) string {
	var names []string
	for _, ep := range endpoints {
		if ep == nil {
			continue
		}
		_, policy, _ := strings.Cut(ep.SecurityPolicyURI, "#")
		names = append(names, policy+"/"+strings.TrimPrefix(ep.SecurityMode.String(), "MessageSecurityMode"))
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}
