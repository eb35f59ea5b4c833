package mqtt

import (
	"context"
	"testing"
	"time"
)

// TestGatherWaitsForWhatIsOnItsWay: no longer than until it has come, and no longer than
// it may.
func TestGatherWaitsForWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	h := newHandover(100, 1<<20)
	h.force(delivery{})
	come := make(chan time.Duration, 1)
	began := time.Now()
	go func() {
		h.gather(context.Background(), 2, time.Minute)
		come <- time.Since(began)
	}()
	time.Sleep(20 * time.Millisecond)
	h.force(delivery{})
	time.Sleep(20 * time.Millisecond)
	select {
	case took := <-come:
		t.Fatalf("after %s it has one of the two that it waits for, and the one that was there", took)
	default:
	}
	h.force(delivery{})
	select {
	case <-come:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits although both have come")
	}
	if batch := h.take(context.Background(), 10); len(batch) != 3 {
		t.Errorf("%d are taken, not 3", len(batch))
	}

	began = time.Now()
	h.gather(context.Background(), 1, 30*time.Millisecond)
	if took := time.Since(began); took < 30*time.Millisecond || took > 20*time.Second {
		t.Errorf("where nothing comes it waits %s", took)
	}
	// What is there fills a batch: nothing is waited for.
	big := newHandover(2*maxBatchMessages, 1<<20)
	for range maxBatchMessages {
		big.force(delivery{})
	}
	done := make(chan struct{})
	go func() {
		big.gather(context.Background(), maxBatchMessages, time.Minute)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits although a whole batch is there")
	}
}
