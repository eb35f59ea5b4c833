package opcua

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"plantgate/internal/flow"
	"plantgate/internal/mes"
)

// namesShown bounds how many bad nodes a status names.
const namesShown = 5

// standing is where one lane stands.
type standing struct {
	state  mes.AdapterState
	detail string
	// nodes is how many it has, bad how many of them the server refuses; named are the first
	// of those.
	nodes, bad int
	named      []string
}

// isUp tells whether it brings values.
func (s standing) isUp() bool {
	return s.state == mes.AdapterRunning || s.state == mes.AdapterDegraded
}

// status is the adapter's condition as others may read it.
type status struct {
	mu    sync.Mutex
	now   func() time.Time
	s     mes.AdapterStatus
	lanes []standing
	// flow counts values.
	flow *flow.Meter
}

func newStatus(name string, now func() time.Time) *status {
	return &status{now: now, flow: flow.NewMeter(now()), lanes: make([]standing, 1), s: mes.AdapterStatus{
		Door: mes.DoorOPCUA, Name: name, State: mes.AdapterStopped, Since: now(),
	}}
}

// split makes the condition that of so many lanes; further ones are connecting.
func (s *status) split(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lanes = s.lanes[:min(n, len(s.lanes))]
	for len(s.lanes) < n {
		s.lanes = append(s.lanes, standing{state: mes.AdapterConnecting})
	}
	s.show(aggregate(s.lanes))
}

// stand notes where a lane stands and reports whether that is news of it.
func (s *status) stand(number int, at standing) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number >= len(s.lanes) {
		return false
	}
	before := s.lanes[number]
	s.lanes[number] = at
	s.show(aggregate(s.lanes))
	return before.state != at.state || before.detail != at.detail
}

// stop is the end of all lanes.
func (s *status) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.show(mes.AdapterStopped, "")
}

// show is called with the lock held.
func (s *status) show(state mes.AdapterState, detail string) {
	if s.s.State != state {
		s.s.Since = s.now()
	}
	s.s.State, s.s.Detail = state, detail
}

// up is how many lanes bring values.
func (s *status) up() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		if l.isUp() {
			n++
		}
	}
	return n
}

// aggregate is the condition of a connection: while no lane brings values, that of the
// first; degraded if some lanes don't, or some nodes.
func aggregate(lanes []standing) (mes.AdapterState, string) {
	var parts []string
	down, nodes, bad := 0, 0, 0
	var named []string
	reason := ""
	for _, l := range lanes {
		nodes += l.nodes
		bad += l.bad
		named = append(named, l.named...)
		if l.isUp() {
			continue
		}
		if down++; reason == "" {
			reason = l.detail
		}
	}
	switch {
	case down == len(lanes):
		return lanes[0].state, lanes[0].detail
	case down > 0 && reason == "":
		parts = append(parts, fmt.Sprintf("nothing comes by %d of %s yet", down, mes.Counted(len(lanes), "session")))
	case down > 0:
		parts = append(parts, fmt.Sprintf("nothing comes by %d of %s: %s", down, mes.Counted(len(lanes), "session"), reason))
	}
	if bad > 0 {
		names := strings.Join(named[:min(namesShown, len(named))], ", ")
		if bad > namesShown {
			names += " …"
		}
		parts = append(parts, fmt.Sprintf("%d of %s bad: %s", bad, mes.Counted(nodes, "node"), names))
	}
	if len(parts) == 0 {
		return mes.AdapterRunning, ""
	}
	return mes.AdapterDegraded, strings.Join(parts, "; ")
}

func (s *status) reconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Reconnects++
}

// certificateEnds notes until when a certificate is valid.
func (s *status) certificateEnds(use mes.CertificateUse, notAfter time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(s.s.Certificates), func(c mes.CertificateEnd) bool { return c.Use == use })
	list = append(list, mes.CertificateEnd{Use: use, NotAfter: notAfter})
	slices.SortFunc(list, func(a, b mes.CertificateEnd) int { return strings.Compare(string(a.Use), string(b.Use)) })
	s.s.Certificates = list // a new list: readers have the old one
}

// certificate tells until when a certificate is valid; zero if it is not known.
func (s *status) certificate(use mes.CertificateUse) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.s.Certificates {
		if c.Use == use {
			return c.NotAfter
		}
	}
	return time.Time{}
}

func (s *status) read() mes.AdapterStatus {
	s.mu.Lock()
	status := s.s
	status.Sessions = len(s.lanes)
	for _, l := range s.lanes {
		status.Nodes += l.nodes
		status.NodesBad += l.bad
		if l.isUp() && s.s.State != mes.AdapterStopped {
			status.SessionsUp++
		}
	}
	s.mu.Unlock()
	status.Flow = s.flow.Flow(s.now())
	return status
}
