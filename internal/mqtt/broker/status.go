package broker

import (
	"sync"
	"time"

	"plantgate/internal/mes"
)

// condition is what is known of the broker, gathered by its clients' goroutines.
type condition struct {
	now    func() time.Time
	mu     sync.Mutex
	status mes.AdapterStatus
}

func newCondition(now func() time.Time) *condition {
	return &condition{now: now, status: mes.AdapterStatus{
		Door: mes.DoorMQTT, Name: Name, State: mes.AdapterConnecting, Since: now(),
	}}
}

func (c *condition) running() { c.set(mes.AdapterRunning) }
func (c *condition) stopped() { c.set(mes.AdapterStopped) }

func (c *condition) set(state mes.AdapterState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.State, c.status.Since = state, c.now()
}

func (c *condition) received(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Received++
	c.status.LastMessage = at
}

func (c *condition) quarantined() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Quarantined++
}

func (c *condition) snapshot() mes.AdapterStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}
