//go:build integration

package crashtest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// entry is what the driver knows of a record that it sent.
type entry struct {
	machine string
	door    string
	// time is zero where the time of receipt counts.
	time  time.Time
	acked bool
	// id is what the server answered; "" by MQTT, and while it is not settled.
	id string
}

// ledger holds every record that was sent, by its number, which is also its one
// signal.
type ledger struct {
	mu      sync.Mutex
	entries map[int]*entry
	// acks has a token after an acknowledgement by REST.
	acks chan struct{}
	// changed are records whose second answer was not the first.
	changed []string
	// answers counts those of REST by status.
	answers map[int]int
}

func newLedger() *ledger {
	return &ledger{entries: make(map[int]*entry), acks: make(chan struct{}, 1), answers: make(map[int]int)}
}

// begin notes a record before any byte of it is sent, and returns its number.
func (l *ledger) begin(e entry) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.entries) + 1
	l.entries[n] = &e
	return n
}

// ack notes that a record was acknowledged, maybe not for the first time; id is "" if the
// answer did not settle it.
func (l *ledger) ack(n int, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[n]
	e.acked = true
	switch {
	case e.id == "":
		e.id = id
	case id != "" && e.id != id:
		l.changed = append(l.changed, fmt.Sprintf("%d of %s was answered with %s and with %s", n, e.machine, e.id, id))
	}
	if e.door == "rest" {
		select {
		case l.acks <- struct{}{}:
		default:
		}
	}
}

// answered counts an answer by REST, and returns how many of its status there were.
func (l *ledger) answered(status int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[status]++
	return l.answers[status]
}

// answersOf is how often REST answered with a status.
func (l *ledger) answersOf(status int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[status]
}

// awaitAck returns right after the next acknowledgement, or after a while.
func (l *ledger) awaitAck(patience time.Duration) {
	select {
	case <-l.acks: // that was before
	default:
	}
	select {
	case <-l.acks:
	case <-time.After(patience):
	}
}

// acked counts the acknowledged records of a door.
func (l *ledger) acked(door string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := 0
	for _, e := range l.entries {
		if e.acked && e.door == door {
			count++
		}
	}
	return count
}

// report is what is wrong with the records of a server.
type report struct {
	lost, doubled, wrong []string
}

func (r report) err() error {
	if len(r.lost)+len(r.doubled)+len(r.wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%d acknowledged records lost: %s\n%d records doubled: %s\n%d wrong: %s",
		len(r.lost), some(r.lost), len(r.doubled), some(r.doubled), len(r.wrong), some(r.wrong))
}

// some are the first of a list.
func some(list []string) string { return strings.Join(list[:min(len(list), 10)], "; ") }

// compare says what is wrong with what was found. A record that was
// acknowledged must be there once, as it was sent; one that was not may be there
// once; nothing else may.
func (l *ledger) compare(found []storedRecord) report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := report{wrong: slices.Clone(l.changed)}
	byNumber := make(map[int][]storedRecord, len(found))
	for _, s := range found {
		byNumber[s.number()] = append(byNumber[s.number()], s)
		if _, ok := l.entries[s.number()]; !ok {
			r.wrong = append(r.wrong, fmt.Sprintf("%s was never sent", s))
		}
	}
	for n, e := range l.entries {
		stored := byNumber[n]
		switch {
		case len(stored) == 0 && e.acked:
			r.lost = append(r.lost, fmt.Sprintf("%d of %s by %s", n, e.machine, e.door))
		case len(stored) > 1:
			r.doubled = append(r.doubled, fmt.Sprintf("%d of %s by %s", n, e.machine, e.door))
		case len(stored) == 1 && !e.matches(stored[0]):
			r.wrong = append(r.wrong, fmt.Sprintf("%s was sent as %+v", stored[0], *e))
		}
	}
	return r
}

func (e *entry) matches(s storedRecord) bool {
	return s.MachineID == e.machine && s.Source.Door == e.door &&
		(e.id == "" || s.ID == e.id) && (e.time.IsZero() || s.Timestamp.Equal(e.time))
}
