package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// bootstrapKey is what clients prove themselves with.
const bootstrapKey = "key of the benchmark"

// Metrics that are read. A server without the gauge of the backlog has none:
// it answers when all is done.
const (
	metricCreated = `plantgate_ingest_records_total{outcome="created"}`
	metricBacklog = `plantgate_apply_lag_records`
)

// drainTimeout bounds the wait for the backlog.
const drainTimeout = 10 * time.Minute

// build makes the server's binary.
func build(ctx context.Context, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, "plantgate/cmd/plantgate")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// server is a running plantgate, with the settings of `plantgate serve` but for
// its ports.
type server struct {
	*process
	folder, metrics string
	http            *http.Client
	tls             *tls.Config
	// ready is the time from the start to the first 200 of /readyz.
	ready time.Duration
	// acknowledged are records that a 201 was received for, unanswered those of
	// requests without an answer.
	acknowledged, unanswered int64
}

// startServer starts the binary in a folder, with the data that are there. config
// names a file; "" is none.
func startServer(ctx context.Context, binary, folder, config string) (*server, error) {
	metrics, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := []string{"serve"}
	if config != "" {
		args = append(args, "--config", config)
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "PLANTGATE_API_KEY="+bootstrapKey,
		"PLANTGATE_SERVER_LISTEN=127.0.0.1:0", "PLANTGATE_METRICS_LISTEN="+metrics)
	p, err := startProcess(ctx, "plantgate", cmd, filepath.Join(folder, "plantgate.log"))
	if err != nil {
		return nil, err
	}
	s := &server{process: p, folder: folder, metrics: "http://" + metrics + "/metrics"}
	if err := s.awaitReady(ctx); err != nil {
		p.kill()
		return nil, err
	}
	return s, nil
}

// data is a file of the server's.
func (s *server) data(name ...string) string {
	return filepath.Join(append([]string{s.folder, "data"}, name...)...)
}

func (s *server) awaitReady(ctx context.Context) error {
	pem, err := os.ReadFile(s.data("tls", "ca.crt"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return errors.New("the server's CA has no certificate")
	}
	s.tls = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	s.http = &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: s.tls.Clone()}}
	for deadline := s.began.Add(startTimeout); time.Now().Before(deadline); {
		if _, err = s.get(ctx, "https://"+s.address+"/readyz"); err == nil {
			s.ready = time.Since(s.began)
			return nil
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("plantgate is not ready: %w\n%s", err, s.logged())
}

func (s *server) get(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	return s.send(r, http.StatusOK)
}

func (s *server) send(r *http.Request, want int) ([]byte, error) {
	resp, err := s.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s %s: %s: %.300s", r.Method, r.URL.Path, resp.Status, body)
	}
	return body, err
}

// answer posts one record and returns what the server answers.
func (s *server) answer(ctx context.Context, c *clock) (string, error) {
	m := newMessage("", "", 1, c, 0, 1, 1)
	m.renew()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+s.address+"/data", bytes.NewReader(m.bytes[m.body:]))
	if err != nil {
		return "", err
	}
	r.Header.Set("X-Api-Key", bootstrapKey)
	r.Header.Set("Content-Type", "application/json")
	body, err := s.send(r, http.StatusCreated)
	if err != nil {
		return "", err
	}
	s.acknowledged++
	if !json.Valid(body) {
		return "", fmt.Errorf("the answer is no JSON: %.300s", body)
	}
	return string(body), nil
}

// metric returns a figure; ok is false where the server has no such.
func (s *server) metric(ctx context.Context, name string) (value float64, ok bool, err error) {
	text, err := s.get(ctx, s.metrics)
	if err != nil {
		return 0, false, err
	}
	return parseMetric(string(text), name)
}

// parseMetric finds a figure, with its labels, in Prometheus' text format.
func parseMetric(text, name string) (value float64, ok bool, err error) {
	for line := range strings.Lines(text) {
		if figure, found := strings.CutPrefix(line, name+" "); found {
			value, err = strconv.ParseFloat(strings.TrimSpace(figure), 64)
			return value, err == nil, err
		}
	}
	return 0, false, nil
}

// backlog is how many accepted records wait to be applied.
func (s *server) backlog(ctx context.Context) (float64, error) {
	value, _, err := s.metric(ctx, metricBacklog)
	return value, err
}

// hurry reads something: the server applies at once what a reader waits for.
func (s *server) hurry(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.address+"/data?limit=1", http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("X-Api-Key", bootstrapKey)
	resp, err := s.http.Do(r)
	if err != nil {
		return err
	}
	return resp.Body.Close() // it may be too early, which is no failure
}

// drain waits until the backlog is zero and returns how long that took.
func (s *server) drain(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for time.Since(began) < drainTimeout {
		left, err := s.backlog(ctx)
		if err != nil {
			return 0, err
		}
		if left == 0 {
			return time.Since(began), nil
		}
		if err := s.hurry(ctx); err != nil {
			return 0, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("the backlog is not worked off after %s", drainTimeout)
}

// audit compares what clients were promised with what the server counted.
func (s *server) audit(ctx context.Context) error {
	created, ok, err := s.metric(ctx, metricCreated)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("there is no metric %s", metricCreated)
	case int64(created) < s.acknowledged:
		return fmt.Errorf("lost: %d records were acknowledged, %.0f created", s.acknowledged, created)
	case int64(created) > s.acknowledged+s.unanswered:
		return fmt.Errorf("%.0f records were created, of %d acknowledged and %d in requests without an answer", created, s.acknowledged, s.unanswered)
	}
	return nil
}

// sizes are the bytes of each file and folder of the server's data, without the
// certificates.
func (s *server) sizes() (map[string]int64, error) {
	entries, err := os.ReadDir(s.data())
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64)
	for _, e := range entries {
		if e.Name() == "tls" {
			continue
		}
		err := filepath.WalkDir(s.data(e.Name()), func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return ignoreMissing(err)
			}
			info, err := d.Info()
			if err == nil {
				sizes[e.Name()] += info.Size()
			}
			return ignoreMissing(err)
		})
		if err != nil {
			return nil, err
		}
	}
	return sizes, nil
}

// ignoreMissing forgives a file that went while it was looked at.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// freeAddress returns an address that was free a moment ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
