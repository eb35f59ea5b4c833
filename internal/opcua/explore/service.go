package explore

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/trust"
)

// requestTime bounds what the API asks, the opening of a session included.
const requestTime = 20 * time.Second

// Audit keeps what people did to the floor.
type Audit interface {
	// BeginAudit stores an entry before its action is tried, durably, and returns its id, or
	// that of the entry that a request with the same idempotency key began.
	BeginAudit(ctx context.Context, e mes.AuditEntry, key *mes.Idempotency) (mes.ID, error)
	// FinishAudit notes what came of the action.
	FinishAudit(ctx context.Context, id mes.ID, state mes.AuditState, at time.Time, detail string, result []byte) error
	AuditEntry(ctx context.Context, id mes.ID) (mes.AuditEntry, error)
	// MadeByRequest returns the id of the entry that a request with the idempotency key
	// began, zero if there was none.
	MadeByRequest(ctx context.Context, key mes.Idempotency, now time.Time) (mes.ID, error)
}

// Deps are what a service needs of the program.
type Deps struct {
	Audit Audit
	// SiteID is the site of machines for which the configuration names none; Folder holds
	// the client's own certificate.
	SiteID, Folder string
	// Judge decides which servers are trusted; nil knows the configuration only.
	Judge *trust.Judge
	// Now is the clock; nil is time.Now.
	Now    func() time.Time
	Logger *slog.Logger
}

// Service looks at the servers of the configured connections, and acts on them, for the
// API. It needs no lease of a connection: its sessions are its own.
type Service struct {
	deps        Deps
	connections map[string]*connection
}

// connection is a configured connection.
type connection struct {
	*shared
	siteID string
}

// New returns a service; Run closes its sessions.
func New(connections []config.OPCUAConnection, deps Deps) *Service {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{deps: deps, connections: map[string]*connection{}}
	for _, c := range connections {
		site := c.SiteID
		if site == "" {
			site = deps.SiteID
		}
		s.connections[c.Name] = &connection{newShared(c, link.Deps{Folder: deps.Folder, Judge: deps.Judge, Now: deps.Now}), site}
	}
	return s
}

// Run closes sessions that nobody wants any more, and all of them when ctx ends.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			for _, c := range s.connections {
				c.reap(now)
			}
		case <-ctx.Done():
			for _, c := range s.connections {
				c.close()
			}
			return nil
		}
	}
}

func (s *Service) find(name string) (*connection, error) {
	if c := s.connections[name]; c != nil {
		return c, nil
	}
	return nil, mes.Errorf(mes.CodeNotFound, "there is no OPC UA connection %q", name)
}

// connection finds one that the caller may look at: all its machines must be within what
// the key is bound to, since any node of the server may be any machine's.
func (s *Service) connection(name string, scope mes.Scope) (*connection, error) {
	c, err := s.find(name)
	if err != nil {
		return nil, err
	}
	for _, m := range c.cfg.Machines {
		site := c.siteOf(m.SiteID)
		if err := visible(scope, site, m.MachineID); err != nil {
			return nil, err
		}
		for _, e := range m.Events {
			for _, source := range e.Sources {
				if err := visible(scope, cmp.Or(source.SiteID, site), source.MachineID); err != nil {
					return nil, err
				}
			}
		}
	}
	// Which machines are discovered is not known here.
	if site := c.siteOf(""); len(c.cfg.Discover) > 0 && !scope.Allows(site, "") {
		return nil, mes.Errorf(mes.CodeForbidden, "the key is bound, and the machines of site %q behind this connection are discovered: it may see none or all of them", site)
	}
	return c, nil
}

func visible(scope mes.Scope, siteID, machineID string) error {
	if scope.Allows(siteID, machineID) {
		return nil
	}
	return mes.Errorf(mes.CodeForbidden, "the key may not see machine %q of site %q, which is behind this connection", machineID, siteID)
}

func (c *connection) siteOf(siteID string) string {
	if siteID == "" {
		return c.siteID
	}
	return siteID
}

// Browse lists what stands right below a node, "" for the server's objects: at most limit
// nodes after a place. It fails with CodeUnavailable while the server is away.
func (s *Service) Browse(ctx context.Context, name, node string, after *mes.UAPlace, limit int, scope mes.Scope) ([]mes.UANode, error) {
	c, err := s.connection(name, scope)
	if err != nil {
		return nil, err
	}
	if node != "" {
		if err := config.CheckNodeID(node); err != nil {
			return nil, mes.Invalid([]mes.FieldError{{Pointer: "/node", Detail: err.Error()}})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	var nodes []mes.UANode
	err = c.use(ctx, func(session *Session) error {
		start := Root()
		if node != "" {
			var err error
			if start, err = session.Node(node); err != nil {
				return err
			}
		}
		var err error
		nodes, _, err = session.Children(ctx, start, after, limit)
		return err
	})
	return nodes, err
}

// Read reads attributes of nodes. A node that can't be read has the status in its result.
func (s *Service) Read(ctx context.Context, name string, items []mes.UARead, scope mes.Scope) ([]mes.UAValue, error) {
	c, err := s.connection(name, scope)
	if err != nil {
		return nil, err
	}
	if err := checkReads(items); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	var values []mes.UAValue
	err = c.use(ctx, func(session *Session) error {
		var err error
		values, err = session.Read(ctx, items)
		return err
	})
	return values, err
}

func checkReads(items []mes.UARead) error {
	var faults []mes.FieldError
	for i, item := range items {
		if err := config.CheckNodeID(item.Node); err != nil {
			faults = append(faults, mes.FieldError{Pointer: fmt.Sprintf("/items/%d/node", i), Detail: err.Error()})
		}
		if _, err := attributeOf(item.Attribute); err != nil {
			faults = append(faults, mes.FieldError{Pointer: fmt.Sprintf("/items/%d/attribute", i), Detail: err.Error()})
		}
	}
	if fault := mes.Invalid(faults); fault != nil {
		return fault
	}
	return nil
}
