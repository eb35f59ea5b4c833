// Package flow measures what comes by a connection to the floor: how much, how fast, and
// how long after its source it is stored. A meter is small and of fixed size.
package flow

import (
	"slices"
	"sync"
	"time"

	"plantgate/internal/mes"
)

// The window of the rate, in slots.
const (
	slots    = 12
	slotTime = 5 * time.Second
)

// recent is how many lags the 99th percentile is of.
const recent = 256

var bounds = mes.LagBounds()

// Meter counts. Its methods may be called side by side.
type Meter struct {
	mu    sync.Mutex
	began time.Time
	flow  mes.Flow
	// settled counts messages that are stored or given up.
	settled int64
	// counts are messages of the last minute, each slot of one period.
	counts  [slots]int64
	periods [slots]int64
	lags    [recent]float32 // seconds
	buckets []int64         // each alone, unlike those of mes.Lag
}

// NewMeter returns a meter that begins at a time.
func NewMeter(began time.Time) *Meter { return &Meter{began: began} }

// Received counts n messages.
func (m *Meter) Received(n int, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flow.Received += int64(n)
	m.flow.LastMessage = at
	period := at.UnixNano() / int64(slotTime)
	slot := period % slots
	if m.periods[slot] != period {
		m.periods[slot], m.counts[slot] = period, 0
	}
	m.counts[slot] += int64(n)
}

// Settled counts n messages that are in hand no more.
func (m *Meter) Settled(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settled += int64(n)
}

// Quarantined counts n messages.
func (m *Meter) Quarantined(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flow.Quarantined += int64(n)
}

// Stored takes note of the commit of records at a time.
func (m *Meter) Stored(records []mes.Record, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range records {
		r := &records[i]
		if r.Fault != nil || r.TimeOrigin != mes.TimeSource && r.TimeOrigin != mes.TimeServer {
			continue
		}
		m.lag(max(at.Sub(r.Time), 0))
	}
}

func (m *Meter) lag(d time.Duration) {
	if m.buckets == nil {
		m.buckets = make([]int64, len(bounds)+1)
	}
	seconds := d.Seconds()
	at, _ := slices.BinarySearch(bounds, seconds)
	m.buckets[at]++
	l := &m.flow.Lag
	m.lags[l.Count%recent] = float32(seconds)
	l.Last = d
	l.Count++
	l.Sum += seconds
}

// Flow returns what was measured, as of now.
func (m *Meter) Flow(now time.Time) mes.Flow {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.flow
	f.InHand = max(f.Received-m.settled, 0)
	f.Rate = m.rate(now)
	if f.Lag.Count == 0 {
		return f
	}
	f.Lag.P99 = m.percentile(min(f.Lag.Count, recent))
	f.Lag.Buckets = make([]int64, len(m.buckets)-1)
	sum := int64(0)
	for i := range f.Lag.Buckets {
		sum += m.buckets[i]
		f.Lag.Buckets[i] = sum
	}
	return f
}

// rate counts the running slot and those before it.
func (m *Meter) rate(now time.Time) float64 {
	period := now.UnixNano() / int64(slotTime)
	n := int64(0)
	for i := range m.counts {
		if p := m.periods[i]; p > period-slots && p <= period {
			n += m.counts[i]
		}
	}
	begin := time.Unix(0, (period-slots+1)*int64(slotTime))
	if m.began.After(begin) {
		begin = m.began
	}
	return float64(n) / max(now.Sub(begin).Seconds(), 1)
}

func (m *Meter) percentile(n int64) time.Duration {
	sorted := slices.Clone(m.lags[:n])
	slices.Sort(sorted)
	at := (n*99 + 99) / 100 // the least that 99 of 100 do not exceed
	return time.Duration(float64(sorted[at-1]) * float64(time.Second)).Round(time.Microsecond)
}
