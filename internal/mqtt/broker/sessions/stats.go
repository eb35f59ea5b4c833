package sessions

import (
	"sync/atomic"
	"time"
)

// Reason is why a message did not get to a subscriber, or was not retained.
type Reason int

// The reasons.
const (
	DroppedQueueFull    Reason = iota // max_queued, max_queued_bytes or max_bytes
	DroppedSlow                       // QoS 0 to a client that reads slowly
	DroppedExpired                    // its time was over (MQTT 5.0, 3.3.2.3.3)
	DroppedTooLarge                   // larger than the client takes
	DroppedEnded                      // the session ended before
	DroppedDenied                     // the subscriber may not read the topic any more
	DroppedRetainedFull               // max_retained or max_retained_bytes
	reasons
)

// String names the reason as metrics do.
func (r Reason) String() string {
	return [...]string{"queue_full", "slow_subscriber", "expired", "too_large", "session_ended", "denied", "retained_full"}[r]
}

// Stats are the figures of a registry.
type Stats struct {
	Sessions, Persistent, Subscriptions int64
	Retained, RetainedBytes             int64
	// Queued are the messages of QoS 1 and 2 that wait for subscribers or are under
	// way; QueuedBytes are what counts to MaxBytes: messages in memory, QoS 0 too, once
	// each, and their places in the queues.
	Queued, QueuedBytes int64
	// Inflight are those under way.
	Inflight int64
	// Dropped counts by reason what did not get to a subscriber.
	Dropped map[Reason]int64
	// Commits and CommitTime are the writes to the log; LogBytes what it keeps.
	Commits    int64
	CommitTime time.Duration
	LogBytes   int64
}

type stats struct {
	sessions, persistent, subscriptions, retained, retainedBytes, queued, queuedBytes atomic.Int64
	commits, commitTime, snapshot                                                     atomic.Int64
	dropped                                                                           [reasons]atomic.Int64
}

func (s *stats) reset() {
	for _, n := range []*atomic.Int64{&s.sessions, &s.persistent, &s.subscriptions, &s.retained, &s.retainedBytes, &s.queued, &s.queuedBytes} {
		n.Store(0)
	}
}

// Stats returns the figures.
func (r *Registry) Stats() Stats {
	st := &r.stats
	out := Stats{
		Sessions: st.sessions.Load(), Persistent: st.persistent.Load(), Subscriptions: st.subscriptions.Load(),
		Retained: st.retained.Load(), RetainedBytes: st.retainedBytes.Load(),
		Queued: st.queued.Load(), QueuedBytes: st.queuedBytes.Load(), Dropped: map[Reason]int64{},
		Commits: st.commits.Load(), CommitTime: time.Duration(st.commitTime.Load()),
	}
	for i := range reasons {
		out.Dropped[i] = st.dropped[i].Load()
	}
	if r.log != nil {
		out.LogBytes = r.log.Size()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		s.mu.Lock()
		out.Inflight += int64(len(s.inflight))
		s.mu.Unlock()
	}
	return out
}
