package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/app/apptest"
)

// maxGrowth is by how much hostile input may make the server's memory grow at
// its peak, in bytes.
const maxGrowth = 400 << 20

// Whatever is sent, the answer says what was wrong, nothing breaks, and memory
// stays bounded. The server has its own process, so that its memory is measured
// and not the test's.
func TestHostileInput(t *testing.T) {
	s := apptest.StartProcess(t, "")
	s.Post(contract1Now()).Want(http.StatusCreated)
	before, goroutines := memory(s), s.Metric("go_goroutines")

	h := &hostile{t: t, s: s, answers: map[int]int{}}
	for _, part := range []struct {
		name string
		run  func(*hostile)
	}{
		{"made by hand", (*hostile).handmade}, {"mutated", (*hostile).mutated}, {"raw bytes", (*hostile).raw},
		{"addresses", (*hostile).addresses}, {"large", (*hostile).large}, {"slow", (*hostile).slow},
	} {
		start := time.Now()
		part.run(h)
		_, peak := s.Memory()
		t.Logf("%s: %s, peak %d MB", part.name, time.Since(start).Round(time.Millisecond), peak>>20)
		if t.Failed() {
			return
		}
	}

	s.Post(contract1Now()).Want(http.StatusCreated)
	s.HTTP.CloseIdleConnections()
	apptest.Eventually(t, "as few goroutines as at the start", func() bool {
		s.HTTP.CloseIdleConnections()
		return s.Metric("go_goroutines") <= goroutines
	})
	_, peak := s.Memory()
	t.Logf("%d requests, answers by status %v; resident memory at the start %d MB, at its peak %d MB", h.sent, h.answers, before>>20, peak>>20)
	if growth := peak - before; growth > memoryFactor*maxGrowth {
		t.Errorf("memory grew by %d MB", growth>>20)
	}
}

func memory(s *apptest.Process) int64 {
	now, _ := s.Memory()
	return now
}

func contract1Now() string {
	return fmt.Sprintf(`{"machine_id":"M001","timestamp":%q,"temperature":72.31,"status":"Running"}`, time.Now().UTC().Format("2006-01-02T15:04:05.000000"))
}

// hostile sends what it should not.
type hostile struct {
	t *testing.T
	s *apptest.Process

	mu      sync.Mutex
	sent    int
	answers map[int]int
}

// send sends a request and checks the answer: accepted, or a problem document.
func (h *hostile) send(name string, r *http.Request) apptest.Answer {
	h.t.Helper()
	a, err := h.s.Send(r)
	if err != nil {
		h.t.Errorf("%s: no answer: %v", name, err)
		return a
	}
	h.check(name, a)
	return a
}

func (h *hostile) check(name string, a apptest.Answer) {
	h.t.Helper()
	h.mu.Lock()
	h.sent++
	h.answers[a.Status]++
	h.mu.Unlock()
	if a.Status < 400 {
		return
	}
	if a.Status >= 500 && a.Status != http.StatusServiceUnavailable {
		h.t.Errorf("%s: %d %.500s", name, a.Status, a.Body)
	}
	if a.Status == http.StatusServiceUnavailable && a.Header.Get("Retry-After") == "" {
		h.t.Errorf("%s: 503 without Retry-After", name)
	}
	var p apptest.Problem
	if err := json.Unmarshal(a.Body, &p); err != nil || a.Header.Get("Content-Type") != "application/problem+json" ||
		p.Title == "" || p.Status != a.Status || p.Detail == "" {
		h.t.Errorf("%s: %d is no problem document: %v %.500s", name, a.Status, a.Header, a.Body)
	}
}

func (h *hostile) post(body io.Reader, headers ...string) *http.Request {
	return h.s.Request(h.t.Context(), http.MethodPost, "/data", body, headers...)
}

// handmade sends every body of the table; those with an expectation must get
// just that answer.
func (h *hostile) handmade() {
	for _, c := range hostileBodies(h.t) {
		a := h.send(c.name, h.post(strings.NewReader(c.body), c.headers...))
		var p apptest.Problem
		_ = json.Unmarshal(a.Body, &p)
		if a.Status != c.status {
			h.t.Errorf("%s: %d, want %d: %.300s", c.name, a.Status, c.status, a.Body)
		}
		if c.pointer != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != c.pointer) {
			h.t.Errorf("%s: the problem does not name %s: %.300s", c.name, c.pointer, a.Body)
		}
		if c.detail != "" && !strings.Contains(string(a.Body), c.detail) {
			h.t.Errorf("%s: the problem does not say %q: %.300s", c.name, c.detail, a.Body)
		}
	}
}

// mutated sends damaged forms of good and bad messages, several at a time.
func (h *hostile) mutated() {
	seeds := seedBodies(h.t)
	n := 2000
	if text := os.Getenv("PLANTGATE_TEST_BODIES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			h.t.Fatalf("PLANTGATE_TEST_BODIES must be a number from 1, not %q", text)
		}
	}
	const clients = 8
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(20261122, uint64(client)))
			for i := client; i < n; i += clients {
				body := mutate(rnd, seeds[rnd.IntN(len(seeds))])
				headers := []string{"Content-Type", pick(rnd, contentTypes()...)}
				if rnd.IntN(8) == 0 {
					headers = append(headers, "Content-Encoding", pick(rnd, "gzip", "br", "deflate", "gzip, gzip", "identity", "\t"))
				}
				h.send(fmt.Sprintf("mutation %d %q %v", i, body, headers), h.post(strings.NewReader(string(body)), headers...))
			}
		})
	}
	all.Wait()
}

func pick(rnd *rand.Rand, list ...string) string { return list[rnd.IntN(len(list))] }

// addresses asks for what can't be there.
func (h *hostile) addresses() {
	for _, path := range hostilePaths() {
		r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.s.URL+path, nil)
		if err != nil {
			continue // the client knows that this is no URL
		}
		r.Header.Set("X-Api-Key", apptest.Key)
		a := h.send(path, r)
		if a.Status < 400 {
			h.t.Errorf("%.200s: %d", path, a.Status)
		}
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "X"} {
		if a := h.send(method, h.s.Request(h.t.Context(), method, "/data", nil)); a.Status != http.StatusMethodNotAllowed {
			h.t.Errorf("%s: %d", method, a.Status)
		}
	}
}

// large sends bodies of all sizes, one after the other and many at once.
func (h *hostile) large() {
	const mega = 1 << 20
	bomb := zeros(h.t, 50*mega)
	for name, r := range map[string]*http.Request{
		"50 MB":             h.post(io.LimitReader(endless('x'), 50*mega)),
		"50 MB in chunks":   h.post(struct{ io.Reader }{io.LimitReader(endless(' '), 50*mega)}),
		"gzip of 50 MB":     h.post(strings.NewReader(bomb), "Content-Encoding", "gzip"),
		"gzip of 1 GB":      h.post(strings.NewReader(strings.Repeat(bomb, 20)), "Content-Encoding", "gzip"),
		"50 MB to a replay": h.s.Request(h.t.Context(), http.MethodPost, "/api/v1/quarantine/019aab1c-7d20-7c11-9e02-3f5a6b7c8d9e/replay", io.LimitReader(endless('x'), 50*mega)),
	} {
		if a := h.send(name, r); a.Status != http.StatusRequestEntityTooLarge && a.Status != http.StatusNotFound {
			h.t.Errorf("%s: %d", name, a.Status)
		}
	}
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			body, headers := largest(i)
			h.send("one of 32 of 16 MiB", h.post(body, headers...))
		})
	}
	all.Wait()
}

// slow opens requests whose bodies do not go on. The server serves others
// meanwhile, and lets go of them when their senders do.
func (h *hostile) slow() {
	ctx, stop := context.WithCancel(h.t.Context())
	var all sync.WaitGroup
	for range 50 {
		body, writer := io.Pipe()
		all.Go(func() {
			_, err := h.s.Send(h.s.Request(ctx, http.MethodPost, "/data", body))
			if !errors.Is(err, context.Canceled) {
				h.t.Errorf("a body that does not end got %v", err)
			}
			_ = body.Close()
		})
		if _, err := writer.Write([]byte(`{"machine_id":"`)); err != nil {
			h.t.Error(err)
		}
	}
	h.s.Post(contract1Now()).Want(http.StatusCreated)
	stop()
	all.Wait()
}
