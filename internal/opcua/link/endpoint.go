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

// chooseEndpoint returns the server's endpoint of the configured policy and
// mode. The server's own URLs are ignored: behind address translation they lead
// nowhere.
func chooseEndpoint(ctx context.Context, cfg config.OPCUAConnection, t Timing) (*ua.EndpointDescription, error) {
	endpoints, err := opcua.GetEndpoints(ctx, cfg.Endpoint, opcua.DialTimeout(t.Open), opcua.RequestTimeout(t.Request))
	if err != nil {
		return nil, fmt.Errorf("ask the server for its endpoints: %w", err)
	}
	policy := ua.FormatSecurityPolicyURI(cfg.Policy())
	mode := ua.MessageSecurityModeFromString(cfg.Mode())
	var offered []string
	for _, ep := range endpoints {
		if ep.SecurityPolicyURI == policy && ep.SecurityMode == mode {
			return ep, nil
		}
		_, name, _ := strings.Cut(ep.SecurityPolicyURI, "#")
		offered = append(offered, name+"/"+strings.TrimPrefix(ep.SecurityMode.String(), "MessageSecurityMode"))
	}
	return nil, trust.Refuse("the server offers no endpoint with %s/%s, only %s",
		cfg.SecurityPolicy, cfg.SecurityMode, strings.Join(offered, ", "))
}
