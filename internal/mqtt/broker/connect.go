package broker

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/storage"
	"github.com/mochi-mqtt/server/v2/packets"

	"plantgate/internal/mqtt/broker/sessions"
)

// OnConnectAuthenticate checks user name and password, the will, and whether there is
// room for a session, which it makes or finds.
func (h *hook) OnConnectAuthenticate(cl *mochi.Client, pk packets.Packet) bool {
	name := string(pk.Connect.Username)
	conn := cl.Net.Conn
	first, _ := conn.(*firstConn)
	if first != nil {
		first.client, first.user = cl.ID, name
	}
	refuse := func(why denial, code packets.Code, err error) bool {
		h.b.denied.count(why)
		h.b.refusals.tell(h.b.log, "client", cl.ID, "user", name, "address", cl.Net.Remote, "reason", code.Reason, "error", err)
		h.b.clients.refuse(conn, code)
		if first != nil {
			first.refused = true
		}
		return false
	}
	verdict, err := h.b.users.login(h.b.work, name, pk.Connect.Password)
	// Checking the password may have taken most of the time that CONNECT has.
	_ = conn.SetDeadline(time.Now().Add(writePatience))
	switch verdict {
	case loginGranted:
	case loginBusy:
		return refuse(loginsBusy, packets.ErrServerUnavailable, err)
	case loginUnreadable:
		h.b.failed(err, "a user of the broker can't log in")
		return refuse(loginsUnreadable, packets.ErrServerUnavailable, err)
	case loginAnonymous:
		return refuse(loginsAnonymous, packets.ErrBadUsernameOrPassword, nil)
	default:
		return refuse(loginsWrong, packets.ErrBadUsernameOrPassword, nil)
	}
	c := &client{user: name, rights: h.b.users.rightsOf(name)}
	if will := cl.Properties.Will; will.Flag != 0 {
		switch {
		case !c.rights.mayPublish(will.TopicName, name, cl.ID):
			return refuse(deniedWill, packets.ErrNotAuthorized, nil)
		case !mochi.IsValidFilter(will.TopicName, true) || !h.b.fits(will.TopicName):
			return refuse(deniedTopic, packets.ErrTopicNameInvalid, nil)
		}
	}
	if !h.b.fits(cl.ID) { // it may stand in topics, and is kept
		return refuse(deniedClientID, packets.ErrClientIdentifierNotValid, nil)
	}
	c.session, c.present, err = h.b.sessions.Connect(sessions.Client{
		ID: cl.ID, User: name, Version: cl.Properties.ProtocolVersion, Clean: pk.Connect.Clean, Expiry: h.expiry(cl),
	})
	switch {
	case errors.Is(err, sessions.ErrTooMany):
		return refuse(deniedSessions, packets.ErrServerUnavailable, err)
	case errors.Is(err, sessions.ErrOtherUser):
		return refuse(deniedClientID, errOtherUser, err)
	case err != nil:
		h.b.failed(err, "a session can't be kept")
		return refuse(deniedStore, packets.ErrServerUnavailable, err)
	}
	h.b.wills.cancel(cl.ID)
	h.b.clients.add(conn, c)
	return true
}

// errOtherUser is the answer to a client id that is another user's.
var errOtherUser = packets.Code{
	Code: packets.ErrClientIdentifierNotValid.Code, Reason: "the client id is that of another user's session",
}

// returnCode is the answer of MQTT 3.1.1 to CONNECT (3.2.2.3).
func returnCode(code packets.Code) byte {
	switch code.Code {
	case packets.ErrClientIdentifierNotValid.Code:
		return 2
	case packets.ErrServerUnavailable.Code:
		return 3
	}
	return 5 // not authorized
}

// expiry is how long the session of a client is kept without a connection, in seconds.
func (h *hook) expiry(cl *mochi.Client) uint32 {
	most := h.b.sessionExpiry()
	switch {
	case cl.Properties.ProtocolVersion == 5:
		return min(cl.Properties.Props.SessionExpiryInterval, most)
	case cl.Properties.Clean:
		return 0
	}
	return most
}

// OnSessionEstablished begins to send, after CONNACK.
func (h *hook) OnSessionEstablished(cl *mochi.Client, _ packets.Packet) {
	c := h.b.clients.of(cl)
	if c == nil {
		return
	}
	h.restoreIncoming(cl, c.session.Incoming())
	window := h.b.cfg.Limits.MaxInflight
	if most := int(cl.Properties.Props.ReceiveMaximum); most > 0 {
		window = min(window, most)
	}
	c.session.Attach(cl, window)
}

// restoreIncoming makes the library know which publications of QoS 2 await PUBREL, and no
// others: it hands on what the connection before had, also if its session has ended, and
// would take a new publication for a repetition.
func (h *hook) restoreIncoming(cl *mochi.Client, incoming []uint16) {
	for _, pk := range cl.State.Inflight.GetAll(false) {
		if pk.FixedHeader.Type == packets.Pubrec && !slices.Contains(incoming, pk.PacketID) && cl.State.Inflight.Delete(pk.PacketID) {
			cl.State.Inflight.IncreaseReceiveQuota()
			atomic.AddInt64(&h.b.server.Info.Inflight, -1)
		}
	}
	for _, id := range incoming {
		if _, ok := cl.State.Inflight.Get(id); !ok {
			cl.State.Inflight.Set(packets.Packet{
				FixedHeader: packets.FixedHeader{Type: packets.Pubrec}, PacketID: id, Created: time.Now().Unix(),
			})
			atomic.AddInt64(&h.b.server.Info.Inflight, 1)
		}
	}
}

// OnDisconnect ends the sending, and the session if it is to end with its connection.
func (h *hook) OnDisconnect(cl *mochi.Client, _ error, expire bool) {
	if cl.Net.Conn == nil {
		return // a session that was loaded
	}
	if c := h.b.clients.take(cl.Net.Conn); c != nil {
		// MQTT 5 lets DISCONNECT ask for another time, which the library does not bound.
		cl.Properties.Props.SessionExpiryInterval = min(cl.Properties.Props.SessionExpiryInterval, h.b.sessionExpiry())
		h.b.sessions.Disconnect(c.session, cl, expire, h.expiry(cl))
		h.b.sessions.Abandon(c.session)
	}
}

// OnClientExpired ends the session of a client that was away for too long.
func (h *hook) OnClientExpired(cl *mochi.Client) {
	if cl.IsTakenOver() {
		return
	}
	h.b.sessions.Expire(cl.ID)
	h.b.server.UnsubscribeClient(cl) // the library forgets to
}

// StoredClients tells the library of the sessions that outlived the program, so that it
// ends them in time.
func (h *hook) StoredClients() ([]storage.Client, error) {
	stored := h.b.sessions.Stored()
	list := make([]storage.Client, 0, len(stored))
	for _, s := range stored {
		list = append(list, storage.Client{
			ID: s.ID, Username: []byte(s.User), Listener: listenerID, ProtocolVersion: s.Version,
			Properties: storage.ClientProperties{SessionExpiryInterval: s.Expiry, SessionExpiryIntervalFlag: s.Version == 5},
		})
	}
	return list, nil
}

// StoredSubscriptions tells the library of their subscriptions, of which it serves
// those to its own topics.
func (h *hook) StoredSubscriptions() ([]storage.Subscription, error) {
	var list []storage.Subscription
	for _, s := range h.b.sessions.Stored() {
		for _, sub := range s.Subscriptions {
			list = append(list, storage.Subscription{
				Client: s.ID, Filter: sub.Filter, Qos: sub.Qos, Identifier: sub.Identifier,
				RetainHandling: sub.RetainHandling, RetainAsPublished: sub.RetainAsPublished, NoLocal: sub.NoLocal,
			})
		}
	}
	return list, nil
}
