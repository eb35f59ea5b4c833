// Package command gives commands to machines: each is stored together with the message
// that brings it to the floor, and the replies of the machine are matched to it.
package command

import (
	"context"
	"encoding/json"
	"path"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/outbox"
)

// ReplyOutcome is what a reply did.
type ReplyOutcome string

// The outcomes. A reply that is late says nothing new: it came before, or something
// after it did.
const (
	ReplyTaken   ReplyOutcome = "taken"
	ReplyLate    ReplyOutcome = "late"
	ReplyUnknown ReplyOutcome = "unknown"
	// ReplyForeign: the command was given to another machine than the one that replies.
	ReplyForeign ReplyOutcome = "foreign"
	// ReplyOtherSite: it was given to the machine of that id, of another site than the one
	// that replies.
	ReplyOtherSite ReplyOutcome = "other site"
)

// Store keeps commands.
type Store interface {
	// CreateCommand stores a command with its message, both or neither, and returns its
	// id. If a request with the same idempotency key made one before, nothing is stored
	// and the id is of that; it fails with mes.ErrKeyReused if that request was another.
	CreateCommand(ctx context.Context, c mes.Command, m outbox.Message, key *mes.Idempotency) (mes.ID, error)
	// MadeByRequest returns what a request with the idempotency key made, zero if there
	// was none; it fails with mes.ErrKeyReused if that request was another.
	MadeByRequest(ctx context.Context, key mes.Idempotency, now time.Time) (mes.ID, error)
	// CancelCommand ends a command that is pending and withdraws its message. It fails
	// with CodeConflict if the command is neither pending nor cancelled, with
	// CodeNotFound if there is none.
	CancelCommand(ctx context.Context, id mes.ID, at time.Time) error
	// ReplyToCommands moves commands on by replies, and says for each what it did.
	ReplyToCommands(ctx context.Context, replies []mes.CommandReply) ([]ReplyOutcome, error)
	Command(ctx context.Context, id mes.ID) (mes.Command, error)
}

// Route is a way on which commands go to some machines.
type Route struct {
	// SiteID is whose machines; "" is any site.
	SiteID string
	// Machines are patterns of ids, with * and ? as in names of files; none is every
	// machine.
	Machines []string
	// Topic is where a command to a machine goes.
	Topic func(siteID, machineID, command string) (string, error)
	QoS   byte
	Queue *outbox.Queue
}

func (r *Route) leadsTo(siteID, machineID string) bool {
	if r.SiteID != "" && r.SiteID != siteID {
		return false
	}
	for _, pattern := range r.Machines {
		if ok, err := path.Match(pattern, machineID); ok && err == nil {
			return true
		}
	}
	return len(r.Machines) == 0
}

// Service gives commands.
type Service struct {
	store  Store
	routes []Route
	now    func() time.Time
}

// New returns a service. Of the routes that lead to a machine the first is taken. A nil
// clock is time.Now.
func New(store Store, routes []Route, now func() time.Time) *Service {
	if now == nil {
		now = time.Now
	}
	return &Service{store: store, routes: routes, now: now}
}

// Send gives a command: when it returns without an error the command is durable, and it
// goes to the machine as soon as that can be reached. What the caller does not say (id,
// state, times but that of expiry) is set here. With an idempotency key that was used
// before it returns the command as it was then.
//
// It fails with CodeInvalid for faulty input, and with CodeConflict if no route leads to
// the machine.
func (s *Service) Send(ctx context.Context, c mes.Command, key *mes.Idempotency) (mes.Command, error) {
	c.ID, c.State, c.CreatedAt = mes.NewID(), mes.CommandPending, mes.Micros(s.now())
	if !c.ExpiresAt.IsZero() {
		c.ExpiresAt = mes.Micros(c.ExpiresAt)
	}
	if len(c.Parameters) == 0 {
		c.Parameters = []byte("{}")
	}
	m, route, err := s.prepare(&c)
	if err != nil {
		return s.before(ctx, key, err)
	}
	id, err := s.store.CreateCommand(ctx, c, m, key)
	if err != nil {
		return mes.Command{}, err
	}
	if id != c.ID {
		return s.asCreated(ctx, id)
	}
	route.Queue.Wake()
	return c, nil
}

// before is the answer to a request that could not be made now: it may have been made
// before its time of expiry passed, or a route went.
func (s *Service) before(ctx context.Context, key *mes.Idempotency, fault error) (mes.Command, error) {
	if key == nil {
		return mes.Command{}, fault
	}
	id, err := s.store.MadeByRequest(ctx, *key, mes.Micros(s.now()))
	switch {
	case err != nil:
		return mes.Command{}, err
	case id.IsZero():
		return mes.Command{}, fault
	}
	return s.asCreated(ctx, id)
}

// asCreated returns a command as it was when it was given: the same answer to the same
// request.
func (s *Service) asCreated(ctx context.Context, id mes.ID) (mes.Command, error) {
	c, err := s.store.Command(ctx, id)
	c.State, c.ReplyMessage, c.ReplyData = mes.CommandPending, "", nil
	c.SentAt, c.AcknowledgedAt, c.FinishedAt = time.Time{}, time.Time{}, time.Time{}
	return c, err
}

// prepare checks a command and makes the message that brings it to its machine.
func (s *Service) prepare(c *mes.Command) (outbox.Message, *Route, error) {
	if fault := c.Validate(); fault != nil {
		return outbox.Message{}, nil, fault
	}
	for i := range s.routes {
		r := &s.routes[i]
		if !r.leadsTo(c.SiteID, c.MachineID) {
			continue
		}
		m, err := r.message(c)
		return m, r, err
	}
	return outbox.Message{}, nil, mes.Errorf(mes.CodeConflict,
		"no publish section of the configuration leads to machine %q of site %q", c.MachineID, c.SiteID)
}

// Is tells whether a message of the outbox is a command.
func Is(m outbox.Message) bool {
	var p payload
	return json.Unmarshal(m.Payload, &p) == nil && p.CommandID == m.ID.String()
}

// payload is a command as the machine gets it.
type payload struct {
	CommandID  string          `json:"command_id"`
	SiteID     string          `json:"site_id"`
	MachineID  string          `json:"machine_id"`
	Command    string          `json:"command"`
	Parameters json.RawMessage `json:"parameters"`
	CreatedAt  time.Time       `json:"created_at"`
	ExpiresAt  *time.Time      `json:"expires_at,omitempty"`
}

func (r *Route) message(c *mes.Command) (outbox.Message, error) {
	topic, err := r.Topic(c.SiteID, c.MachineID, c.Name)
	if err != nil {
		return outbox.Message{}, mes.Errorf(mes.CodeConflict, "the command has no topic: %s", err.Error())
	}
	p := payload{
		CommandID: c.ID.String(), SiteID: c.SiteID, MachineID: c.MachineID, Command: c.Name,
		Parameters: c.Parameters, CreatedAt: c.CreatedAt.UTC(),
	}
	if !c.ExpiresAt.IsZero() {
		at := c.ExpiresAt.UTC()
		p.ExpiresAt = &at
	}
	body, err := json.Marshal(p)
	if err != nil {
		return outbox.Message{}, mes.Invalid([]mes.FieldError{{Pointer: "/parameters", Detail: "must be a JSON object"}})
	}
	return outbox.Message{
		ID: c.ID, Target: r.Queue.Target(), Key: c.SiteID + "~" + c.MachineID, Topic: topic, Payload: body,
		QoS: r.QoS, CreatedAt: c.CreatedAt, ExpiresAt: c.ExpiresAt,
	}, nil
}

// Cancel ends a command that is pending: it is not sent, unless it is on its way at this
// moment. See Store.CancelCommand for errors.
func (s *Service) Cancel(ctx context.Context, id mes.ID) (mes.Command, error) {
	if err := s.store.CancelCommand(ctx, id, mes.Micros(s.now())); err != nil {
		return mes.Command{}, err
	}
	return s.store.Command(ctx, id)
}
