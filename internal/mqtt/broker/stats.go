package broker

import (
	"sync/atomic"

	"plantgate/internal/mqtt/broker/sessions"
)

// denial is something that the broker refused, and why.
type denial int

const (
	deniedPublish denial = iota
	deniedSubscribe
	deniedWill
	deniedTopic // too long or deep, or with a wildcard
	deniedLimit // a subscription beyond a limit
	deniedSessions
	deniedClientID
	deniedStore
	deniedRate    // connections from one address
	deniedClients // max_clients
	deniedSlow    // CONNECT did not come in time
	loginsWrong
	loginsAnonymous
	loginsBusy
	loginsUnreadable
	denialKinds
)

// String names the denial as metrics do.
func (d denial) String() string {
	return [...]string{
		"publish", "subscribe", "will", "topic", "subscription_limit", "session_limit", "client_id", "store",
		"connect_rate", "client_limit", "connect_timeout",
		"wrong_password", "anonymous", "busy", "password_file",
	}[d]
}

// Stats are the broker's figures since its start.
type Stats struct {
	sessions.Stats
	// Clients are connected now.
	Clients int64
	// Messages and bytes (of all packets) from and to clients.
	MessagesIn, MessagesOut, BytesIn, BytesOut int64
	// Lost are messages of QoS 0 and wills that could not be stored.
	Lost int64
	// Wills were published.
	Wills int64
	// Unheard are messages of this server that no session was subscribed to.
	Unheard int64
	// Denied counts publications, subscriptions, wills and connections that were
	// refused, AuthFailures logins, by reason.
	Denied, AuthFailures map[string]int64
}

// Stats returns the figures.
func (b *Broker) Stats() Stats {
	s := Stats{
		Stats: b.sessions.Stats(), Clients: int64(b.clients.len()),
		MessagesIn: atomic.LoadInt64(&b.server.Info.MessagesReceived), MessagesOut: atomic.LoadInt64(&b.server.Info.MessagesSent),
		BytesIn: atomic.LoadInt64(&b.server.Info.BytesReceived), BytesOut: atomic.LoadInt64(&b.server.Info.BytesSent),
		Lost: b.lost.Load(), Wills: b.willsSent.Load(), Unheard: b.unheard.Load(), Denied: map[string]int64{}, AuthFailures: map[string]int64{},
	}
	for why := range denialKinds {
		to := s.Denied
		if why >= loginsWrong {
			to = s.AuthFailures
		}
		to[why.String()] = b.denied.n[why].Load()
	}
	return s
}
