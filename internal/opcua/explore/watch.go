package explore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gopcua/opcua"
	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/trust"
)

// watchSilence is how long a subscription may bring nothing, not even the server's clock.
const watchSilence = 10 * time.Second

// pausesOfWatch are those between attempts after a cut; the last one stays.
func pausesOfWatch() []time.Duration {
	return []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}
}

// Watcher prints the changes of nodes.
type Watcher struct {
	Config config.OPCUAConnection
	Deps   link.Deps
	// Interval is how often the server looks at the nodes, and tells.
	Interval time.Duration
	// Changed gets each value; an error of it ends the watch. Notice gets what happens to
	// the connection, for a person.
	Changed func(mes.UAValue) error
	Notice  func(text string)
}

// errChanged wraps an error of Changed.
type errChanged struct{ error }

// Run watches nodes until ctx ends, which is no error. It fails if the first connection
// can't be made, or no node can be watched. A connection that is lost later is made anew
// until it succeeds, or the server refuses.
func (w *Watcher) Run(ctx context.Context, nodes []string) error {
	pauses := pausesOfWatch()
	for began, attempt := false, 0; ; {
		proven, err := w.once(ctx, nodes, began)
		began = began || proven
		var ended errChanged
		var refusal *trust.Refusal
		switch {
		case errors.As(err, &ended):
			return ended.error
		case ctx.Err() != nil:
			return nil
		case !began || errors.As(err, &refusal) || mes.ErrorCode(err) == mes.CodeInvalid:
			return err
		}
		if proven {
			attempt = 0
		}
		pause := pauses[min(attempt, len(pauses)-1)]
		attempt++
		w.Notice(fmt.Sprintf("%s; trying again in %s (what changes meanwhile is not seen)", err, pause))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// once watches by one connection. proven tells that it brought something.
func (w *Watcher) once(ctx context.Context, nodes []string, again bool) (proven bool, err error) {
	s, err := Open(ctx, w.Config, w.Deps)
	if err != nil {
		return false, err
	}
	defer s.Close()
	notifications := make(chan *opcua.PublishNotificationData, 64)
	sub, err := s.client.Subscribe(ctx, &opcua.SubscriptionParameters{Interval: w.Interval, LifetimeCount: 1000, MaxKeepAliveCount: 10}, notifications)
	if err != nil {
		return false, served(err, "subscribe")
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timing.Close)
		defer cancel()
		if !s.lost.Load() {
			_ = sub.Cancel(ctx)
		}
	}()
	watched, clock, err := w.monitor(ctx, s, sub, nodes)
	if err != nil {
		return false, err
	}
	if again {
		w.Notice("connected again")
	}
	silence := max(watchSilence, 3*sub.RevisedPublishingInterval)
	r := receiver{Watcher: w, session: s, watched: watched, clock: clock, silence: silence}
	proven, err = r.receive(ctx, notifications)
	return proven, err
}

// clockHandle is the handle of the server's clock, whose silence shows that a subscription
// is dead; nodes have their places from 1.
const clockHandle = 0

// monitor makes the monitored items and returns the nodes by their handles. Nodes that can't
// be watched are told. clock tells that the server's is monitored.
func (w *Watcher) monitor(ctx context.Context, s *Session, sub *opcua.Subscription, nodes []string) (watched map[uint32]string, clock bool, err error) {
	items := []*ua.MonitoredItemCreateRequest{w.item(ua.NewNumericNodeID(0, id.Server_ServerStatus_CurrentTime), clockHandle)}
	watched = map[uint32]string{}
	var last error
	for i, text := range nodes {
		n, err := s.Node(text)
		if err != nil {
			w.Notice(fmt.Sprintf("%s is not watched: %s", text, err))
			last = err
			continue
		}
		handle := uint32(i + 1)
		watched[handle] = text
		items = append(items, w.item(n, handle))
	}
	size := perCall(s.limits.MonitoredItemsPerCall)
	for len(items) > 0 {
		part := items[:min(size, len(items))]
		items = items[len(part):]
		res, err := sub.Monitor(ctx, ua.TimestampsToReturnBoth, part...)
		if err != nil {
			return nil, false, served(err, "watch")
		}
		for i, r := range res.Results {
			handle := part[i].RequestedParameters.ClientHandle
			good := r != nil && !isBad(r.StatusCode)
			if handle == clockHandle {
				clock = good
				continue
			}
			if good {
				continue
			}
			code := ua.StatusBadUnexpectedError
			if r != nil {
				code = r.StatusCode
			}
			last = mes.Errorf(mes.CodeInvalid, "%s can't be watched: %s", watched[handle], meaning(code))
			w.Notice(last.Error())
			delete(watched, handle)
		}
	}
	if len(watched) == 0 {
		return nil, false, mes.Errorf(mes.CodeInvalid, "no node can be watched: %s", last)
	}
	return watched, clock, nil
}

func (w *Watcher) item(n *ua.NodeID, handle uint32) *ua.MonitoredItemCreateRequest {
	item := opcua.NewMonitoredItemCreateRequestWithDefaults(n, ua.AttributeIDValue, handle)
	item.RequestedParameters.SamplingInterval = float64(w.Interval) / float64(time.Millisecond)
	item.RequestedParameters.QueueSize = 100
	return item
}

// receiver takes the notifications of one subscription.
type receiver struct {
	*Watcher
	session *Session
	watched map[uint32]string
	clock   bool
	silence time.Duration
}

// receive ends with ctx, or with the reason why nothing comes any more.
func (r *receiver) receive(ctx context.Context, notifications <-chan *opcua.PublishNotificationData) (proven bool, err error) {
	quiet := time.NewTimer(r.silence)
	defer quiet.Stop()
	lost := time.NewTicker(250 * time.Millisecond)
	defer lost.Stop()
	for {
		select {
		case <-ctx.Done():
			return proven, nil
		case n := <-notifications:
			if n.Error != nil {
				return proven, served(n.Error, "watch")
			}
			switch v := n.Value.(type) {
			case *ua.StatusChangeNotification:
				return proven, fmt.Errorf("the server ended the subscription: %s", meaning(v.Status))
			case *ua.DataChangeNotification:
				proven = true
				quiet.Reset(r.silence)
				if err := r.changed(v.MonitoredItems); err != nil {
					return proven, errChanged{err}
				}
			}
		case <-lost.C:
			if r.session.lost.Load() {
				return proven, errors.New("the connection was lost")
			}
		case <-quiet.C:
			// A subscription can be dead while the session is not; a server that does not let
			// its clock be monitored is asked for it.
			if r.clock || r.session.alive(ctx) != nil {
				return proven, fmt.Errorf("the server has been silent for %s", r.silence)
			}
			quiet.Reset(r.silence)
		}
	}
}

// alive asks for the server's clock.
func (s *Session) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timing.Request)
	defer cancel()
	_, err := s.read(ctx, []*ua.ReadValueID{readOf(ua.NewNumericNodeID(0, id.Server_ServerStatus_CurrentTime), ua.AttributeIDValue)})
	return err
}

func (r *receiver) changed(items []*ua.MonitoredItemNotification) error {
	for _, item := range items {
		if item == nil || r.watched[item.ClientHandle] == "" {
			continue
		}
		v := mes.UAValue{Node: r.watched[item.ClientHandle], Attribute: "Value"}
		r.session.fill(&v, item.Value)
		if err := r.Changed(v); err != nil {
			return err
		}
	}
	return nil
}
