package broker

import (
	"sync"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
)

// condition is what is known of the broker, gathered by its clients' goroutines.
type condition struct {
	now    func() time.Time
	mu     sync.Mutex
	status mes.AdapterStatus
	flow   *mqtt.Meters
}

func newCondition(bindings mqtt.Bindings, now func() time.Time) *condition {
	return &condition{now: now, flow: mqtt.NewMeters(bindings, now), status: mes.AdapterStatus{
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

func (c *condition) snapshot() mes.AdapterStatus {
	c.mu.Lock()
	s := c.status
	c.mu.Unlock()
	s.Flow, s.Bindings = c.flow.Snapshot()
	return s
}
