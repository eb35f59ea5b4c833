package mqtt

import (
	"context"
	"testing"
	"time"
)

func payload(size int) delivery { return delivery{Message: Message{Payload: make([]byte, size)}} }

func TestHandoverBounds(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	h := newHandover(3, 100)
	if !h.put(payload(1000), 0, never) {
		t.Fatal("a message above the bound must be taken alone")
	}
	if h.put(payload(1), 0, never) {
		t.Fatal("taken above the bound of bytes")
	}
	h.release(h.take(t.Context(), 10))
	for range 3 {
		if !h.put(payload(1), 0, never) {
			t.Fatal("no room within the bounds")
		}
	}
	if h.put(payload(1), 0, never) {
		t.Fatal("taken above the bound of messages")
	}
	batch := h.take(t.Context(), 2)
	if len(batch) != 2 {
		t.Fatalf("took %d, the limit is 2", len(batch))
	}
	if h.put(payload(1), 0, never) {
		t.Fatal("what is not yet stored must count")
	}
	go func() {
		time.Sleep(10 * time.Millisecond)
		h.release(batch)
	}()
	if !h.put(payload(1), time.Minute, never) {
		t.Fatal("room was made and not used")
	}
}

func TestHandoverWaits(t *testing.T) {
	t.Parallel()
	h := newHandover(2, 100)
	stop := make(chan struct{})
	close(stop)
	h.force(payload(1))
	h.force(payload(1))
	if h.put(payload(1), time.Minute, stop) {
		t.Error("taken though there is no room")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if h.waitEmpty(ctx) {
		t.Error("empty with two messages in hand")
	}
	h.release(h.take(t.Context(), 1))
	h.waitRoom(t.Context())
	h.release(h.take(t.Context(), 1))
	if !h.waitEmpty(t.Context()) {
		t.Error("not empty")
	}
	if got := h.take(ctx, 1); got != nil {
		t.Errorf("took %v of nothing", got)
	}
}
