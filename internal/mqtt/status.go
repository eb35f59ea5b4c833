package mqtt

import (
	"errors"
	"sync"
	"time"

	"plantgate/internal/mes"
)

// condition is what is known of a connection, gathered by its goroutines.
type condition struct {
	now func() time.Time

	mu     sync.Mutex
	status mes.AdapterStatus
	// refusals and holdUp are reasons why a connection that is up is degraded:
	// filters that the broker refuses, records that can't be stored.
	refusals string
	holdUp   string

	flow *Meters
}

func newCondition(name string, bindings Bindings, now func() time.Time) *condition {
	return &condition{
		now: now, flow: NewMeters(bindings, now),
		status: mes.AdapterStatus{Door: mes.DoorMQTT, Name: name, State: mes.AdapterStopped, Since: now()},
	}
}

// set records where a connection stands that is not up.
func (c *condition) set(state mes.AdapterState, detail string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusals = ""
	c.change(state, detail)
	c.flow.wait()
}

// established records a new connection; again means that there was one before.
func (c *condition) established(again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(mes.AdapterRunning, "")
	c.weigh()
	if again {
		c.status.Reconnects++
	}
}

// refuse records which filters the broker refuses; "" if none.
func (c *condition) refuse(detail string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusals = detail
	c.weigh()
}

// hold records why records can't be stored; "" if they can.
func (c *condition) hold(detail string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holdUp == detail {
		return
	}
	c.holdUp = detail
	c.weigh()
}

// weigh tells running from degraded.
func (c *condition) weigh() {
	if c.status.State != mes.AdapterRunning && c.status.State != mes.AdapterDegraded {
		return
	}
	detail := c.refusals
	if c.holdUp != "" {
		detail = c.holdUp
	}
	if detail == "" {
		c.change(mes.AdapterRunning, "")
		return
	}
	c.change(mes.AdapterDegraded, detail)
}

func (c *condition) change(state mes.AdapterState, detail string) {
	if c.status.State != state {
		c.status.State, c.status.Since = state, c.now()
	}
	c.status.Detail = detail
}

// repeated counts a message that was stored before.
func (c *condition) repeated() { c.count(func(s *mes.AdapterStatus) { s.Repeated++ }) }

// doubted counts messages that may have been stored before, and are stored.
func (c *condition) doubted(n int64) { c.count(func(s *mes.AdapterStatus) { s.Doubtful += n }) }

func (c *condition) sessionLost() { c.count(func(s *mes.AdapterStatus) { s.SessionsLost++ }) }

func (c *condition) count(fn func(*mes.AdapterStatus)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(&c.status)
}

func (c *condition) snapshot() mes.AdapterStatus {
	c.mu.Lock()
	s := c.status
	c.mu.Unlock()
	s.Flow, s.Bindings = c.flow.Snapshot()
	return s
}

// forOperator returns the words of err that anybody may read.
func forOperator(err error, otherwise string) string {
	var e *mes.Error
	if errors.As(err, &e) {
		return e.Error()
	}
	return otherwise
}
