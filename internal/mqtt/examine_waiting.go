package mqtt

import (
	"context"
	"fmt"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// heldMessages is how many messages wait for their acknowledgements in the examination:
// more than the 1,020 that a stock Mosquitto keeps for a client that is connected.
const heldMessages = 1200

// waiting tells whether the broker keeps what waits for a client that acknowledges late:
// Mosquitto drops what is above max_queued_messages, without a word to anybody.
func (e *examination) waiting(ctx context.Context) {
	const check = "messages that wait"
	came, err := e.hold(ctx, e.base+"/waiting")
	switch {
	case err != nil:
		e.subject.Note(check, "", "not checked: %s", err)
	case came < heldMessages:
		e.subject.Warn(check, "raise the broker's limit: max_queued_messages 0 in mosquitto.conf (docs/mosquitto.md)",
			"of %d messages of QoS 1 that waited for acknowledgements %d came: the broker drops the others without a word, "+
				"when plantgate is away and when it stores more slowly than machines send", heldMessages, came)
	default:
		e.subject.OK(check, "%d messages of QoS 1 waited for their acknowledgements, and all came", came)
	}
}

// hold publishes messages to itself, acknowledges them when the broker has all of them, and
// returns how many came.
func (e *examination) hold(ctx context.Context, name string) (came int, err error) {
	h := holder{changed: make(chan struct{}, 1)}
	c, err := e.connectBy(ctx, func(o *paho.ClientOptions) { o.SetAutoAckDisabled(true).SetDefaultPublishHandler(h.receive) })
	if err != nil {
		return 0, err
	}
	defer c.end()
	if code, err := c.subscribe(ctx, name, 1); err != nil || code != 1 {
		return 0, fmt.Errorf("QoS 1 is not granted")
	}
	published := make([]paho.Token, heldMessages)
	for i := range published {
		published[i] = c.client.Publish(name, 1, false, fmt.Sprint(i))
	}
	for _, token := range published {
		if err := c.await(ctx, token); err != nil {
			return 0, err
		}
	}
	h.release()
	for h.count() < heldMessages {
		timer := time.NewTimer(examineQuiet)
		select {
		case <-h.changed:
			timer.Stop()
		case <-timer.C:
			return h.count(), nil
		case err := <-c.lost:
			return 0, fmt.Errorf("%w: %w", errClosed, err)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return h.count(), nil
}

// holder keeps messages unacknowledged until they are released.
type holder struct {
	mu       sync.Mutex
	held     []paho.Message
	came     int
	released bool
	changed  chan struct{}
}

func (h *holder) receive(_ paho.Client, m paho.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.Duplicate() {
		return // which the broker says it sent before
	}
	h.came++
	signal(h.changed)
	if h.released {
		m.Ack()
		return
	}
	h.held = append(h.held, m)
}

func (h *holder) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released = true
	for _, m := range h.held {
		m.Ack()
	}
	h.held = nil
}

func (h *holder) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.came
}
