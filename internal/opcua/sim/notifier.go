package sim

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"
)

// notifier has the subscription and monitored item services (OPC 10000-4, 5.13 and 5.14)
// in the place of the library's, which keep one value a publish and neither repeat nor
// transfer anything.
type notifier struct {
	// read gives the present value, alive tells whether there is a session.
	read  func(node *ua.NodeID, attribute ua.AttributeID) *ua.DataValue
	alive func(session string) bool
	// watched is called when somebody subscribes; eventless tells whether requests for events
	// end in a fault of the service.
	watched   func()
	eventless func() bool

	mu      sync.Mutex
	subs    map[uint32]*subscription
	items   map[string][]*item // by node
	waiting map[string][]request
	lastSub uint32
	last    uint32 // item
	tasks   sync.WaitGroup
	ended   bool
	faults  faults
}

func newNotifier(srv *server.Server) *notifier {
	n := &notifier{watched: func() {}, eventless: func() bool { return false }, subs: map[uint32]*subscription{}, items: map[string][]*item{}, waiting: map[string][]request{}}
	n.read = func(node *ua.NodeID, attribute ua.AttributeID) *ua.DataValue {
		ns, err := srv.Namespace(int(node.Namespace()))
		if err != nil {
			return &ua.DataValue{EncodingMask: ua.DataValueStatusCode, Status: ua.StatusBadNodeIDUnknown}
		}
		return ns.Attribute(node, attribute)
	}
	n.alive = func(session string) bool {
		token, err := ua.ParseNodeID(session)
		return err == nil && srv.Session(&ua.RequestHeader{AuthenticationToken: token}) != nil
	}
	srv.RegisterHandler(id.ActivateSessionRequest_Encoding_DefaultBinary, handler(n.activateSession))
	for typeID, h := range map[uint16]server.Handler{
		id.CreateSubscriptionRequest_Encoding_DefaultBinary:    handler(n.createSubscription),
		id.ModifySubscriptionRequest_Encoding_DefaultBinary:    handler(n.modifySubscription),
		id.DeleteSubscriptionsRequest_Encoding_DefaultBinary:   handler(n.deleteSubscriptions),
		id.TransferSubscriptionsRequest_Encoding_DefaultBinary: handler(n.transferSubscriptions),
		id.RepublishRequest_Encoding_DefaultBinary:             handler(n.republish),
		id.CreateMonitoredItemsRequest_Encoding_DefaultBinary:  handler(n.createItems),
		id.DeleteMonitoredItemsRequest_Encoding_DefaultBinary:  handler(n.deleteItems),
		id.PublishRequest_Encoding_DefaultBinary:               n.ask,
	} {
		srv.RegisterHandler(typeID, h)
	}
	return n
}

// handler makes one of a function that takes one kind of request.
func handler[T ua.Request](fn func(session string, req T) (ua.Response, error)) server.Handler {
	return func(_ *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
		req, ok := r.(T)
		if !ok {
			return nil, ua.StatusBadRequestTypeInvalid
		}
		return fn(req.Header().AuthenticationToken.String(), req)
	}
}

func header(r *ua.RequestHeader) *ua.ResponseHeader {
	return &ua.ResponseHeader{
		Timestamp:          time.Now(),
		RequestHandle:      r.RequestHandle,
		ServiceDiagnostics: &ua.DiagnosticInfo{},
		StringTable:        []string{},
		AdditionalHeader:   ua.NewExtensionObject(nil),
	}
}

// close ends every subscription.
func (n *notifier) close() {
	n.mu.Lock()
	n.ended = true
	for _, s := range n.subs {
		s.stop()
	}
	n.mu.Unlock()
	n.tasks.Wait()
}

// changed queues a value for those that monitor the node, whose id is given as text.
func (n *notifier) changed(node string, dv *ua.DataValue) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, i := range n.items[node] {
		i.add(dv)
	}
}

// reread queues the present value of a node.
func (n *notifier) reread(node *ua.NodeID) {
	n.changed(node.String(), n.read(node, ua.AttributeIDValue))
}

// remove ends a subscription.
func (n *notifier) remove(number uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.subs[number]
	if s == nil {
		return
	}
	delete(n.subs, number)
	s.stop()
	for _, i := range s.items {
		n.forget(i)
	}
	for _, other := range n.subs {
		if other.session == s.session {
			return
		}
	}
	delete(n.waiting, s.session)
}

// forget is called with the lock held.
func (n *notifier) forget(i *item) {
	delete(i.sub.items, i.id)
	all := n.items[i.key]
	for k, other := range all {
		if other == i {
			all = append(all[:k], all[k+1:]...)
			break
		}
	}
	if n.items[i.key] = all; len(all) == 0 {
		delete(n.items, i.key)
	}
}

// own gives the subscription of a session; it is called with the lock held.
func (n *notifier) own(session string, number uint32) *subscription {
	if s := n.subs[number]; s != nil && s.session == session {
		return s
	}
	return nil
}

func (n *notifier) createSubscription(session string, req *ua.CreateSubscriptionRequest) (ua.Response, error) {
	if !n.alive(session) {
		return nil, ua.StatusBadSessionIDInvalid
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return nil, ua.StatusBadShutdown
	}
	n.watched()
	ctx, stop := context.WithCancel(context.Background())
	n.lastSub++
	s := &subscription{
		id: n.lastSub, session: session, stop: stop, sequence: cmp.Or(n.faults.first, 1), step: 1 + n.faults.skip, items: map[uint32]*item{}, wake: make(chan struct{}, 1),
		perMessage: int(cmp.Or(min(req.MaxNotificationsPerPublish, perMessage), perMessage)),
		interval:   max(time.Duration(req.RequestedPublishingInterval*float64(time.Millisecond)), 10*time.Millisecond),
	}
	s.count(req.RequestedMaxKeepAliveCount, req.RequestedLifetimeCount)
	s.quiet = s.keepAlive // the first interval says something (5.14.1.2)
	n.subs[s.id] = s
	n.tasks.Go(func() { n.run(ctx, s) })
	return &ua.CreateSubscriptionResponse{
		ResponseHeader: header(req.RequestHeader), SubscriptionID: s.id,
		RevisedPublishingInterval: float64(s.interval) / float64(time.Millisecond),
		RevisedLifetimeCount:      s.lifetime, RevisedMaxKeepAliveCount: s.keepAlive,
	}, nil
}

func (s *subscription) count(keepAlive, lifetime uint32) {
	s.keepAlive = cmp.Or(keepAlive, 10)
	s.lifetime = max(lifetime, 3*s.keepAlive)
}

// modifySubscription changes the counts.
func (n *notifier) modifySubscription(session string, req *ua.ModifySubscriptionRequest) (ua.Response, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.own(session, req.SubscriptionID)
	if s == nil {
		return nil, ua.StatusBadSubscriptionIDInvalid
	}
	s.count(req.RequestedMaxKeepAliveCount, req.RequestedLifetimeCount)
	return &ua.ModifySubscriptionResponse{
		ResponseHeader:            header(req.RequestHeader),
		RevisedPublishingInterval: float64(s.interval) / float64(time.Millisecond),
		RevisedLifetimeCount:      s.lifetime, RevisedMaxKeepAliveCount: s.keepAlive,
	}, nil
}

func (n *notifier) deleteSubscriptions(session string, req *ua.DeleteSubscriptionsRequest) (ua.Response, error) {
	results := make([]ua.StatusCode, len(req.SubscriptionIDs))
	for i, number := range req.SubscriptionIDs {
		n.mu.Lock()
		s := n.own(session, number)
		n.mu.Unlock()
		if results[i] = ua.StatusBadSubscriptionIDInvalid; s != nil {
			results[i] = ua.StatusOK
			n.remove(number)
		}
	}
	return &ua.DeleteSubscriptionsResponse{ResponseHeader: header(req.RequestHeader), Results: results, DiagnosticInfos: []*ua.DiagnosticInfo{}}, nil
}

// transferSubscriptions makes subscriptions those of the session that asks.
func (n *notifier) transferSubscriptions(session string, req *ua.TransferSubscriptionsRequest) (ua.Response, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	results := make([]*ua.TransferResult, len(req.SubscriptionIDs))
	for i, number := range req.SubscriptionIDs {
		s := n.subs[number]
		if s == nil {
			results[i] = &ua.TransferResult{StatusCode: ua.StatusBadSubscriptionIDInvalid, AvailableSequenceNumbers: []uint32{}}
			continue
		}
		delete(n.waiting, s.session) // nobody waits there any more
		s.session, s.unasked = session, 0
		results[i] = &ua.TransferResult{AvailableSequenceNumbers: s.available()}
		if req.SendInitialValues {
			for _, i := range s.items {
				if i.read != nil {
					i.add(i.read())
				}
			}
		}
	}
	return &ua.TransferSubscriptionsResponse{ResponseHeader: header(req.RequestHeader), Results: results, DiagnosticInfos: []*ua.DiagnosticInfo{}}, nil
}

func (n *notifier) republish(session string, req *ua.RepublishRequest) (ua.Response, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.own(session, req.SubscriptionID)
	if s == nil {
		return nil, ua.StatusBadSubscriptionIDInvalid
	}
	for _, m := range s.sent {
		if m.SequenceNumber == req.RetransmitSequenceNumber {
			return &ua.RepublishResponse{ResponseHeader: header(req.RequestHeader), NotificationMessage: m}, nil
		}
	}
	return nil, ua.StatusBadMessageNotAvailable
}

// ask keeps a request to publish until there is something to say.
func (n *notifier) ask(channel *uasc.SecureChannel, r ua.Request, number uint32) (ua.Response, error) {
	req, ok := r.(*ua.PublishRequest)
	if !ok {
		return nil, ua.StatusBadRequestTypeInvalid
	}
	session := req.RequestHeader.AuthenticationToken.String()
	if !n.alive(session) {
		return nil, ua.StatusBadSessionIDInvalid
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.faults.forgotten[session] {
		return nil, ua.StatusBadSessionIDInvalid
	}
	if err := n.faults.refusal(req); err != nil {
		return nil, err
	}
	results := make([]ua.StatusCode, len(req.SubscriptionAcknowledgements))
	for i, a := range req.SubscriptionAcknowledgements {
		if results[i] = ua.StatusBadSubscriptionIDInvalid; n.own(session, a.SubscriptionID) != nil {
			results[i] = n.subs[a.SubscriptionID].acknowledge(a.SequenceNumber)
		}
	}
	found := false
	for _, s := range n.subs {
		if s.session != session {
			continue
		}
		found = true
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	if !found {
		return nil, ua.StatusBadNoSubscription
	}
	n.waiting[session] = append(n.waiting[session], request{channel, number, req.RequestHeader, results})
	return nil, nil // the answer comes when there is something to say
}

func (n *notifier) createItems(session string, req *ua.CreateMonitoredItemsRequest) (ua.Response, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.own(session, req.SubscriptionID)
	if s == nil {
		return nil, ua.StatusBadSubscriptionIDInvalid
	}
	results := make([]*ua.MonitoredItemCreateResult, len(req.ItemsToCreate))
	for k, want := range req.ItemsToCreate {
		if want.ItemToMonitor.AttributeID == ua.AttributeIDEventNotifier && n.eventless() {
			return nil, ua.StatusBadServiceUnsupported
		}
		results[k] = &ua.MonitoredItemCreateResult{FilterResult: ua.NewExtensionObject(nil)}
		switch {
		case want.ItemToMonitor.AttributeID == ua.AttributeIDEventNotifier: // nothing ever happens
			n.last++
			s.items[n.last] = &item{id: n.last, key: want.ItemToMonitor.NodeID.String(), sub: s}
			results[k].MonitoredItemID = n.last
			continue
		case want.ItemToMonitor.AttributeID != ua.AttributeIDValue:
			results[k].StatusCode = ua.StatusBadAttributeIDInvalid
			continue
		case n.faults.clockless && want.ItemToMonitor.NodeID.String() == clock().String():
			results[k].StatusCode = ua.StatusBadNotSupported
			continue
		}
		n.last++
		i := &item{
			id: n.last, handle: want.RequestedParameters.ClientHandle, key: want.ItemToMonitor.NodeID.String(), sub: s,
			size: int(max(want.RequestedParameters.QueueSize, 1)),
			read: func() *ua.DataValue { return n.read(want.ItemToMonitor.NodeID, ua.AttributeIDValue) },
		}
		s.items[i.id] = i
		n.items[i.key] = append(n.items[i.key], i)
		i.add(i.read())
		results[k].MonitoredItemID, results[k].RevisedQueueSize = i.id, want.RequestedParameters.QueueSize
		results[k].RevisedSamplingInterval = max(want.RequestedParameters.SamplingInterval, 0)
	}
	return &ua.CreateMonitoredItemsResponse{ResponseHeader: header(req.RequestHeader), Results: results, DiagnosticInfos: []*ua.DiagnosticInfo{}}, nil
}

func (n *notifier) deleteItems(session string, req *ua.DeleteMonitoredItemsRequest) (ua.Response, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.own(session, req.SubscriptionID)
	if s == nil {
		return nil, ua.StatusBadSubscriptionIDInvalid
	}
	results := make([]ua.StatusCode, len(req.MonitoredItemIDs))
	for k, number := range req.MonitoredItemIDs {
		i := s.items[number]
		if i == nil {
			results[k] = ua.StatusBadMonitoredItemIDInvalid
			continue
		}
		n.forget(i)
		for r, other := range s.ready {
			if other == i {
				s.ready = append(s.ready[:r], s.ready[r+1:]...)
				break
			}
		}
	}
	return &ua.DeleteMonitoredItemsResponse{ResponseHeader: header(req.RequestHeader), Results: results, DiagnosticInfos: []*ua.DiagnosticInfo{}}, nil
}
