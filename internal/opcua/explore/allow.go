package explore

import (
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
)

// permit is an entry of an allow-list, with the node ids that it names now.
type permit struct{ siteID, machineID string }

// writable tells whether a caller may write a node, and why not. Node ids are compared as
// the server understands them: nsu= and ns= of one node are the same.
func (c *connection) writable(s *Session, text string, scope mes.Scope) error {
	node, err := s.Node(text)
	if err != nil {
		return mes.Errorf(mes.CodeForbidden, "it is not among the nodes that may be written (writable of the connection): %s", err.Error())
	}
	for _, w := range c.cfg.Writable {
		if s.is(node, w.Node) {
			return c.allowed(permit{w.SiteID, w.MachineID}, scope)
		}
	}
	return mes.Errorf(mes.CodeForbidden, "it is not among the nodes that may be written (writable of the connection)")
}

// callable tells whether a caller may call a method of an object, and why not.
func (c *connection) callable(s *Session, call mes.UACall, scope mes.Scope) error {
	const not = "it is not among the methods that may be called (callable of the connection)"
	object, err := s.Node(call.Object)
	if err != nil {
		return mes.Errorf(mes.CodeForbidden, "%s: %s", not, err.Error())
	}
	method, err := s.Node(call.Method)
	if err != nil {
		return mes.Errorf(mes.CodeForbidden, "%s: %s", not, err.Error())
	}
	for _, m := range c.cfg.Callable {
		if s.is(object, m.Object) && s.is(method, m.Method) {
			return c.allowed(permit{m.SiteID, m.MachineID}, scope)
		}
	}
	return mes.Errorf(mes.CodeForbidden, "%s", not)
}

// is tells whether a configured node id names the node now.
func (s *Session) is(node *ua.NodeID, configured string) bool {
	n, err := address.Resolve(configured, s.client.Namespaces())
	return err == nil && n.String() == node.String()
}

// allowed holds what the key is bound to against whose the node is.
func (c *connection) allowed(p permit, scope mes.Scope) error {
	site := c.siteOf(p.siteID)
	if !scope.Allows(site, p.machineID) {
		if p.machineID == "" {
			return mes.Errorf(mes.CodeForbidden, "the key is bound to machines or sites, and the configuration does not say whose this is (machine_id)")
		}
		return mes.Errorf(mes.CodeForbidden, "the key may not act on machine %q of site %q", p.machineID, site)
	}
	return nil
}
