package sessions

import (
	"slices"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Client is what a client says of its session when it connects.
type Client struct {
	ID, User string
	Version  byte // 3, 4 or 5
	// Clean ends the session before.
	Clean bool
	// Expiry is how long the session outlives its connections, in seconds; 0 ends it
	// with this one.
	Expiry uint32
}

// Connect makes the session of a client, or finds the one that it has. It returns once
// the log knows. ErrTooMany is for one persistent session more than there may be, ErrOtherUser
// for a client id whose session belongs to another user.
func (r *Registry) Connect(c Client) (s *Session, present bool, err error) {
	var refused error
	err = r.commit(func(t *tx) {
		s = r.sessions[c.ID]
		if s != nil && s.user != c.User && (s.durable || s.attached()) {
			refused = ErrOtherUser
			return
		}
		if s != nil && (c.Clean || !s.durable) {
			r.end(t, s)
			s = nil
		}
		present = s != nil
		persistent := c.Expiry > 0
		if s == nil {
			if persistent && r.stats.persistent.Load() >= int64(r.opts.MaxSessions) {
				refused = ErrTooMany
				return
			}
			s = r.add(c.ID)
			s.durable = persistent
			if persistent {
				r.stats.persistent.Add(1)
			}
		}
		s.user, s.version, s.expiry = c.User, c.Version, c.Expiry
		if s.durable {
			t.log(s.entry())
		}
	})
	switch {
	case err == nil:
		err = refused
	case s != nil && refused == nil:
		r.Abandon(s) // it was made, and nobody knows of it
	}
	return s, present, err
}

// entry describes the session; Registry.mu is held.
func (s *Session) entry() *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &entry{kind: kindSession, session: s.id, user: s.user, version: s.version, expiry: s.expiry, next: s.last}
}

// end removes a session from the state and the log.
func (r *Registry) end(t *tx, s *Session) {
	if s.durable && !s.ended {
		t.log(&entry{kind: kindEnd, session: s.id})
	}
	r.remove(s)
}

// Disconnect says that conn is gone. The session ends with expire, and otherwise keeps
// what comes for it for expiry seconds. Nothing happens if another connection has the
// session.
func (r *Registry) Disconnect(s *Session, conn Conn, expire bool, expiry uint32) {
	if !s.detach(conn) {
		return
	}
	r.insist(func(t *tx) { // a registry that is closed keeps what it has
		switch {
		case s.ended || s.attached():
		case expire || !s.durable:
			r.end(t, s)
		case expiry != s.expiry:
			s.expiry = expiry
			t.log(s.entry())
		}
	})
}

// Abandon ends the session of a client whose connection failed before Attach, unless it
// is a persistent one.
func (r *Registry) Abandon(s *Session) {
	r.insist(func(t *tx) {
		if !s.durable && !s.attached() {
			r.end(t, s)
		}
	})
}

// Expire ends the session of a client that was away for too long.
func (r *Registry) Expire(clientID string) {
	r.insist(func(t *tx) {
		if s := r.sessions[clientID]; s != nil && !s.attached() {
			r.end(t, s)
		}
	})
}

// Subscribe adds subscriptions and tells which of them were there already.
func (r *Registry) Subscribe(s *Session, subs []packets.Subscription) (existed []bool, err error) {
	var ended error
	err = r.commit(func(t *tx) {
		if s.ended {
			ended = ErrEnded
			return
		}
		for _, sub := range subs {
			existed = append(existed, r.subscribe(s, sub))
			if s.durable {
				t.log(&entry{kind: kindSubscribe, session: s.id, sub: sub})
			}
		}
	})
	if err == nil {
		err = ended
	}
	return existed, err
}

// Unsubscribe removes subscriptions.
func (r *Registry) Unsubscribe(s *Session, filters []string) error {
	return r.commit(func(t *tx) {
		if s.ended {
			return
		}
		for _, filter := range filters {
			r.leave(s, filter)
			if s.durable {
				t.log(&entry{kind: kindLeave, session: s.id, sub: packets.Subscription{Filter: filter}})
			}
		}
	})
}

// Subscriptions returns how many subscriptions the session has, and whether it has that
// of the filter.
func (s *Session) Subscriptions(filter string) (n int, has bool) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	_, has = s.subs[filter]
	return len(s.subs), has
}

// Stored is a session that was found at the start.
type Stored struct {
	Client
	Subscriptions []packets.Subscription
}

// Stored lists the persistent sessions.
func (r *Registry) Stored() []Stored {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Stored
	for _, s := range r.sessions {
		if !s.durable {
			continue
		}
		st := Stored{Client: Client{ID: s.id, User: s.user, Version: s.version, Expiry: s.expiry}}
		for _, sub := range s.subs {
			st.Subscriptions = append(st.Subscriptions, sub)
		}
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b Stored) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return list
}
