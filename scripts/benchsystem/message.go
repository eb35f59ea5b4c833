package main

import (
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// A record as machines send it. Only digits differ from one to the next, so that
// a message is made by writing them in their places.
const (
	recordStart  = `{"machine_id":"M`
	recordMiddle = `","timestamp":"`
	recordEnd    = `","temperature":72.31,"status":"Running"}`
	layout       = "2006-01-02T15:04:05.000000"

	machineDigits = 4
	machineAt     = len(recordStart)
	timeAt        = machineAt + machineDigits + len(recordMiddle)
	valueAt       = timeAt + len(layout) + len(`","temperature":72.`)
	recordSize    = timeAt + len(layout) + len(recordEnd)
)

// clock gives times to records: that of the day, and never the same twice.
type clock struct{ last atomic.Int64 }

// take returns the first of n microseconds, since 1970, that nobody else has.
func (c *clock) take(n int) int64 {
	for {
		last := c.last.Load()
		first := max(time.Now().UnixMicro(), last+1)
		if c.last.CompareAndSwap(last, first+int64(n)-1) {
			return first
		}
	}
}

// message is a request with its head, ready to be sent again and again. It has
// machines of its own, as a gateway has: of one machine, each record is newer
// than the one before.
type message struct {
	bytes    []byte
	body     int   // where the body begins
	places   []int // where each record begins
	machines []int
	next     int
	clock    *clock
	second   int64 // of which text is the time
	text     []byte
}

// newMessage makes a request of n records, of the machines share, share+of …
// of all. One record is an object, several are an array.
func newMessage(host, key string, n int, c *clock, share, of, machines int) *message {
	m := &message{clock: c, second: -1}
	for id := share % machines; id < machines; id += of {
		m.machines = append(m.machines, id)
	}
	record := recordStart + "0000" + recordMiddle + layout + recordEnd
	var body []byte
	if n > 1 {
		body = append(body, '[')
	}
	for i := range n {
		if i > 0 {
			body = append(body, ',')
		}
		m.places = append(m.places, len(body))
		body = append(body, record...)
	}
	if n > 1 {
		body = append(body, ']')
	}
	m.bytes = fmt.Appendf(nil, "POST /data HTTP/1.1\r\nHost: %s\r\nX-Api-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", host, key, len(body))
	m.body = len(m.bytes)
	for i := range m.places {
		m.places[i] += m.body
	}
	m.bytes = append(m.bytes, body...)
	return m
}

// renew makes every record of the message a new one.
func (m *message) renew() {
	us := m.clock.take(len(m.places))
	for _, place := range m.places {
		record := m.bytes[place : place+recordSize]
		putDigits(record[machineAt:machineAt+machineDigits], m.machines[m.next])
		if m.next++; m.next == len(m.machines) {
			m.next = 0
		}
		m.putTime(record[timeAt:timeAt+len(layout)], us)
		putDigits(record[valueAt:valueAt+2], int(us%100))
		us++
	}
}

func (m *message) putTime(to []byte, us int64) {
	second := us / 1e6
	if second != m.second {
		m.second = second
		m.text = time.Unix(second, 0).UTC().AppendFormat(m.text[:0], layout)
	}
	copy(to, m.text)
	putDigits(to[len(to)-6:], int(us%1e6))
}

// putDigits writes n with as many digits as there is room for.
func putDigits(to []byte, n int) {
	for i := range slices.Backward(to) {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

// machineID names a machine as messages do.
func machineID(n int) string {
	text := strconv.Itoa(n)
	return "M" + "0000"[:max(0, machineDigits-len(text))] + text
}
