package opcua

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopcua/opcua/ua"
)

const (
	// keptFor is for how long a server is to keep a subscription whose client is gone.
	keptFor = 2 * time.Minute
	// maxPerPublish bounds the notifications of one message.
	maxPerPublish = 10_000
)

// subscription is one as in OPC 10000-4, 5.14, and outlives the connection in which it was
// made. The library's own acknowledges what nobody has stored, does not see an answer that
// comes late, and is lost with its connection. Here a message is acknowledged once its
// values are stored, and one that is missing is asked for again.
type subscription struct {
	id uint32
	// interval is that of publishing, quiet the time after which the server says that the
	// subscription lives; both as the server revised them.
	interval, quiet time.Duration
	// began is when the server was started that made it.
	began time.Time
	// next is the number of the message that is due, 0 before the first; again is how many
	// messages in a row had a number of before. Only who publishes uses them.
	next, again uint32
	// heard is when the server last answered, or when it was last asked after a pause of
	// ours, in Unix nanoseconds.
	heard atomic.Int64

	mu     sync.Mutex
	stored []uint32 // messages that are not acknowledged yet
}

// store notes that a message may be acknowledged.
func (s *subscription) store(number uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = append(s.stored, number)
}

// acknowledgements are those that are due.
func (s *subscription) acknowledgements() []*ua.SubscriptionAcknowledgement {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*ua.SubscriptionAcknowledgement, len(s.stored))
	for i, number := range s.stored {
		list[i] = &ua.SubscriptionAcknowledgement{SubscriptionID: s.id, SequenceNumber: number}
	}
	return list
}

// acknowledged forgets the first n of them. What the server said of each does not matter:
// it has forgotten the message, now or before.
func (s *subscription) acknowledged(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = slices.Delete(s.stored, 0, n)
}

// keepsQuiet notes after how many intervals without a notification the server says that
// the subscription lives.
func (s *subscription) keepsQuiet(intervals uint32) {
	s.quiet = time.Duration(min(max(intervals, 1), math.MaxInt16)) * s.interval
}

// hears notes that the server has answered, or is asked anew.
func (s *subscription) hears() { s.heard.Store(time.Now().UnixNano()) }

// unheard is for how long the server owes an answer.
func (s *subscription) unheard() time.Duration { return time.Since(time.Unix(0, s.heard.Load())) }

// after is the number of the message after one; 0 is none.
func after(number uint32) uint32 {
	if number == math.MaxUint32 {
		return 1
	}
	return number + 1
}

// lifeCounts are after how many publishing intervals a server says that a subscription lives,
// and after how many without a request to publish it gives it up.
func lifeCounts(interval, watchdog time.Duration) (keepAlive, lifetime uint32) {
	keepAlive = uint32(min(max(watchdog/interval, 3), math.MaxInt16))
	return keepAlive, max(uint32(min(keptFor/interval, math.MaxInt32)), 3*keepAlive, 30)
}

// create makes the subscription.
func (s *session) create(ctx context.Context) error {
	want := s.a.cfg.PublishingInterval
	keepAlive, lifetime := lifeCounts(want, s.a.cfg.Watchdog)
	req := &ua.CreateSubscriptionRequest{
		RequestedPublishingInterval: float64(want) / float64(time.Millisecond),
		RequestedLifetimeCount:      lifetime, RequestedMaxKeepAliveCount: keepAlive,
		MaxNotificationsPerPublish: maxPerPublish, PublishingEnabled: true,
	}
	var res *ua.CreateSubscriptionResponse
	if err := s.send(ctx, req, func(r ua.Response) (ok bool) { res, ok = r.(*ua.CreateSubscriptionResponse); return ok }); err != nil {
		return fmt.Errorf("create the subscription: %w", err)
	}
	revised := time.Duration(res.RevisedPublishingInterval * float64(time.Millisecond))
	if res.SubscriptionID == 0 || revised <= 0 {
		return fmt.Errorf("create the subscription: the server made number %d with an interval of %v ms", res.SubscriptionID, res.RevisedPublishingInterval)
	}
	s.sub = &subscription{id: res.SubscriptionID, interval: revised}
	s.sub.keepsQuiet(res.RevisedMaxKeepAliveCount)
	s.watchdog = max(s.a.cfg.Watchdog, 3*revised)
	if differ(revised, want) {
		s.log.Warn("opcua: the server publishes at another interval", "wanted", want, "revised", revised)
	}
	return s.adjust(ctx, res)
}

// differ tells whether the server has made something else of a time.
func differ(revised, want time.Duration) bool { return revised > 2*want || 2*revised < want }

// adjust asks for other counts where those that were asked for were meant for another
// publishing interval than the server's. One that can't change them is taken as it is.
func (s *session) adjust(ctx context.Context, made *ua.CreateSubscriptionResponse) error {
	if !differ(s.sub.interval, s.a.cfg.PublishingInterval) {
		return nil
	}
	keepAlive, lifetime := lifeCounts(s.sub.interval, s.watchdog)
	var res *ua.ModifySubscriptionResponse
	req := &ua.ModifySubscriptionRequest{
		SubscriptionID: s.sub.id, RequestedPublishingInterval: made.RevisedPublishingInterval,
		RequestedLifetimeCount: lifetime, RequestedMaxKeepAliveCount: keepAlive, MaxNotificationsPerPublish: maxPerPublish,
	}
	err := s.send(ctx, req, func(r ua.Response) (ok bool) { res, ok = r.(*ua.ModifySubscriptionResponse); return ok })
	switch {
	case failed(err):
		return fmt.Errorf("modify the subscription: %w", err)
	case err == nil:
		s.sub.keepsQuiet(res.RevisedMaxKeepAliveCount)
	}
	return nil
}

// send calls the server and remembers by what it knows the session.
func (s *session) send(ctx context.Context, req ua.Request, take func(ua.Response) bool) error {
	err := s.client.Send(ctx, req, func(r ua.Response) error { return taken(r, take) })
	if h := req.Header(); h != nil {
		s.token = h.AuthenticationToken
	}
	return err
}

func taken(r ua.Response, take func(ua.Response) bool) error {
	if !take(r) {
		return fmt.Errorf("the server answered with a %T", r)
	}
	return nil
}

// unmonitor deletes items.
func (s *session) unmonitor(ctx context.Context, items []uint32) error {
	req := &ua.DeleteMonitoredItemsRequest{SubscriptionID: s.sub.id, MonitoredItemIDs: items}
	return s.send(ctx, req, func(r ua.Response) bool { _, ok := r.(*ua.DeleteMonitoredItemsResponse); return ok })
}

// remove deletes the subscription.
func (s *session) remove(ctx context.Context) error {
	req := &ua.DeleteSubscriptionsRequest{SubscriptionIDs: []uint32{s.sub.id}}
	var res *ua.DeleteSubscriptionsResponse
	err := s.send(ctx, req, func(r ua.Response) (ok bool) { res, ok = r.(*ua.DeleteSubscriptionsResponse); return ok })
	if err == nil && len(res.Results) == 1 && res.Results[0] != ua.StatusOK {
		return res.Results[0]
	}
	return err
}
