package mqtt

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/sparkplug"
)

// delivery is a message in hand: ack tells the broker that it is stored, by the session
// that it came by.
type delivery struct {
	Message
	qos     byte
	dup     bool
	session *session
	ack     func()
	// binding is the place of the one that the topic is for; -1 if none is.
	binding int

	// records are what it says; identified means that they are known by that if they come
	// again.
	records    []mes.Record
	identified bool
	// known means that it was stored before; number is the ledger's.
	known  bool
	number int64

	// births and mark are what it says of births of Sparkplug B.
	births mes.SparkplugChange
	mark   *sparkplug.Mark
}

// comesAgain tells whether the broker sends the message again if it was not told that it
// is stored.
func (d *delivery) comesAgain() bool { return d.qos > 0 && !d.Retained }

// yields is how often the consumer lets the client's goroutines go first: a message
// passes two of them before it is handed over.
const yields = 3

// handover is the bounded place between the client's handler, which must never
// wait long, and the consumer, which waits for commits. What was put counts
// against the bounds until it is released, that is, committed.
type handover struct {
	maxCount, maxBytes int

	mu    sync.Mutex
	list  []delivery
	count int // put and not yet released
	bytes int
	// filled and freed hold a token after a change. Each has one waiter at a
	// time: the consumer; the handler, the supervisor or the drain.
	filled chan struct{}
	freed  chan struct{}
}

func newHandover(maxCount, maxBytes int) *handover {
	return &handover{
		maxCount: maxCount,
		maxBytes: maxBytes,
		filled:   make(chan struct{}, 1),
		freed:    make(chan struct{}, 1),
	}
}

// put hands a delivery over. Without room it waits at most for the time given,
// or until stop is closed, and returns false if there was none.
func (h *handover) put(d delivery, wait time.Duration, stop <-chan struct{}) bool {
	if h.tryPut(d) {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-h.freed:
			if h.tryPut(d) {
				return true
			}
		case <-timer.C:
			return false
		case <-stop:
			return false
		}
	}
}

func (h *handover) tryPut(d delivery) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	// One delivery always fits, or a message larger than the bound never would.
	if h.count > 0 && (h.count >= h.maxCount || h.bytes+len(d.Payload) > h.maxBytes) {
		return false
	}
	h.add(d)
	return true
}

// force hands a delivery over whatever the bounds say.
func (h *handover) force(d delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.add(d)
}

func (h *handover) add(d delivery) {
	h.list = append(h.list, d)
	h.count++
	h.bytes += len(d.Payload)
	signal(h.filled)
}

// take waits until something is there and returns what there is, at most limit
// deliveries: it never waits for more. It returns nil once ctx has ended.
func (h *handover) take(ctx context.Context, limit int) []delivery {
	for {
		if ctx.Err() != nil {
			return nil
		}
		// What the client has read already joins; nobody waits for what has not come.
		for range yields {
			runtime.Gosched()
		}
		if batch := h.takeNow(limit); batch != nil {
			return batch
		}
		select {
		case <-h.filled:
		case <-ctx.Done():
		}
	}
}

// gather waits until n deliveries have come besides those that are there, or as many as
// one batch takes, for the time given at most.
func (h *handover) gather(ctx context.Context, n int, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	wanted := -1
	for {
		h.mu.Lock()
		if wanted < 0 {
			wanted = min(len(h.list)+n, maxBatchMessages)
		}
		enough := len(h.list) >= wanted
		h.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-h.filled:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// takeMore returns what else the session brings within the time given; nil if that is
// nothing, or if the next session has begun.
func (h *handover) takeMore(ctx context.Context, s *session, limit int, wait time.Duration) []delivery {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		h.mu.Lock()
		other := len(h.list) > 0 && h.list[0].session != s
		some := len(h.list) > 0
		h.mu.Unlock()
		switch {
		case other:
			return nil
		case some:
			return h.takeNow(limit)
		}
		select {
		case <-h.filled:
		case <-ctx.Done():
			return nil
		}
	}
}

// takeNow takes deliveries of one session.
func (h *handover) takeNow(limit int) []delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) == 0 {
		return nil
	}
	n := 1
	for n < min(limit, len(h.list)) && h.list[n].session == h.list[0].session {
		n++
	}
	batch := h.list[:n:n]
	h.list = h.list[n:]
	if len(h.list) == 0 {
		h.list = nil
	}
	return batch
}

// putBack gives back what was taken last, to be taken next.
func (h *handover) putBack(batch []delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = slices.Concat(batch, h.list)
	signal(h.filled)
}

// release makes room: the deliveries are stored, or given up at the end.
func (h *handover) release(batch []delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range batch {
		h.count--
		h.bytes -= len(batch[i].Payload)
		batch[i] = delivery{}
	}
	signal(h.freed)
}

// waitRoom waits until half of the room is free.
func (h *handover) waitRoom(ctx context.Context) {
	h.waitUntil(ctx, func() bool { return h.count <= h.maxCount/2 && h.bytes <= h.maxBytes/2 })
}

// isEmpty tells whether nothing is in hand.
func (h *handover) isEmpty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count == 0
}

// waitEmpty waits until everything is released, and tells whether it is.
func (h *handover) waitEmpty(ctx context.Context) bool {
	return h.waitUntil(ctx, func() bool { return h.count == 0 })
}

func (h *handover) waitUntil(ctx context.Context, holds func() bool) bool {
	for {
		h.mu.Lock()
		ok := holds()
		h.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-h.freed:
		case <-ctx.Done():
			return false
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
