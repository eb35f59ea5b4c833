//go:build integration

package crashtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// TestKilledBroker kills the program over and over while publishers, in Go and in
// Python, publish to its own broker for subscribers with persistent sessions: one that is
// away all the time, one that comes and goes. Each gets every publication that was
// acknowledged, in order per publisher.
func TestKilledBroker(t *testing.T) {
	binary := build(t)
	access, section := ownBroker(t)
	p := startPlant(t, binary, "{log: {delay: 500ms}}", section+brokerSection)
	kills := int(number(t, "PLANTGATE_TEST_KILLS", shortKills)) / 2
	p.broker = access
	host := strings.TrimPrefix(access.url, "tcp://")

	newSubscription(t, access, "absent").close()
	fickle := newSubscription(t, access, "fickle")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	acked := make([]int, 4)
	for i := range acked {
		wg.Go(func() { acked[i] = publishNumbers(ctx, p.driver, fmt.Sprint("go", i)) })
	}
	python := startPython(t, host, access)
	for range kills {
		time.Sleep(time.Duration(200+p.random.IntN(1200)) * time.Millisecond)
		if err := p.process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.start()
		p.ready()
		if p.random.IntN(2) == 0 {
			fickle.close()
			fickle = fickle.again(t, access)
		}
	}
	cancel()
	wg.Wait()
	pythonAcked := python()
	want := map[string]int{"py": pythonAcked}
	for i, n := range acked {
		want[fmt.Sprint("go", i)] = n
	}
	t.Logf("acknowledged: %v, with %d kills", want, kills)
	absent := newSubscription(t, access, "absent")
	for name, sub := range map[string]*subscription{"absent": absent, "fickle": fickle} {
		sub.check(t, name, want)
	}
}

// brokerSection lets the broker take what a kill leaves publishers to say again.
const brokerSection = "    limits: {connects_per_second: 0}\n"

// TestForgetfulBroker shows what the test above is for: a broker that acknowledges
// before its log is synced, or does not write what waits, is found.
func TestForgetfulBroker(t *testing.T) {
	binary := build(t, edit{
		file: "internal/mqtt/broker/sessions/publish.go",
		old:  "	if t != nil && (e.keeps || len(e.targets) > 0 || remember && origin.durable) {",
		new:  "	if t != nil && e.keeps {",
	})
	access, section := ownBroker(t)
	p := startPlant(t, binary, "{log: {delay: 500ms}}", section)
	p.broker = access
	newSubscription(t, access, "absent").close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if n := publishNumbers(ctx, p.driver, "go0"); n == 0 {
		t.Fatal("nothing was acknowledged")
	}
	if err := p.process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.start()
	p.ready()
	sub := newSubscription(t, access, "absent")
	time.Sleep(time.Second)
	if n := sub.highest("go0"); n != 0 {
		t.Errorf("%d came from a broker that forgets", n)
	}
	sub.close()
}

// publishNumbers publishes 1, 2, 3 … with QoS 1, each until it is acknowledged, and
// returns the last that was.
func publishNumbers(ctx context.Context, d *driver, name string) int {
	p := &publisher{d: d, clientID: name}
	defer p.close()
	n := 0
	for ctx.Err() == nil {
		if p.publish("numbers/"+name, fmt.Sprint(n+1)) {
			n++
		} else {
			time.Sleep(20 * time.Millisecond)
		}
	}
	return n
}

// startPython publishes numbers with Eclipse's paho-mqtt, and returns a function that
// waits for it and says how many were acknowledged.
func startPython(t *testing.T, address string, access brokerAccess) func() int {
	t.Helper()
	interpreter := os.Getenv("PLANTGATE_TEST_PYTHON")
	if interpreter == "" {
		interpreter = filepath.Join("..", "..", ".venv", "bin", "python")
	}
	host, port, _ := strings.Cut(address, ":")
	const n = 2000
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"topic":"numbers/py","qos":1,"payload":"%d"}`+"\n", i+1)
	}
	cmd := exec.CommandContext(t.Context(), interpreter, filepath.Join("..", "mqtt", "testdata", "publish.py"),
		host, port, access.username, access.password, "python", "120")
	var out strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(lines.String()), &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("this test needs Python with paho-mqtt, see internal/mqtt: %v", err)
	}
	return func() int {
		if err := cmd.Wait(); err != nil {
			t.Fatalf("publishing with Python: %v\n%s", err, out.String())
		}
		return n
	}
}

// subscription is a client with a persistent session, and what has come to it.
type subscription struct {
	id     string
	client paho.Client
	mu     *sync.Mutex
	last   map[string]int // the highest number of each publisher
	faults *[]string
}

func newSubscription(t *testing.T, access brokerAccess, id string) *subscription {
	t.Helper()
	s := &subscription{id: id, mu: &sync.Mutex{}, last: map[string]int{}, faults: &[]string{}}
	s.connect(t, access)
	return s
}

// again is another connection to the same session.
func (s *subscription) again(t *testing.T, access brokerAccess) *subscription {
	t.Helper()
	next := *s
	next.connect(t, access)
	return &next
}

func (s *subscription) connect(t *testing.T, access brokerAccess) {
	t.Helper()
	s.client = paho.NewClient(paho.NewClientOptions().AddBroker(access.url).SetClientID(s.id).
		SetUsername(access.username).SetPassword(access.password).SetCleanSession(false).
		SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond).SetMaxReconnectInterval(100 * time.Millisecond).
		SetDefaultPublishHandler(s.take))
	finished(t, s.client.Connect())
	finished(t, s.client.Subscribe("numbers/+", 1, nil))
}

func finished(t *testing.T, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(time.Minute) || token.Error() != nil {
		t.Fatalf("the broker does not answer: %v", token.Error())
	}
}

func (s *subscription) take(_ paho.Client, m paho.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.TrimPrefix(m.Topic(), "numbers/")
	var n int
	_, _ = fmt.Sscan(string(m.Payload()), &n)
	switch last := s.last[name]; {
	case n == last+1:
		s.last[name] = n
	case n > last+1:
		*s.faults = append(*s.faults, fmt.Sprintf("%s %d came after %d", name, n, last))
		s.last[name] = n
	}
}

func (s *subscription) highest(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[name]
}

func (s *subscription) close() { s.client.Disconnect(250) }

// check waits until everything that was acknowledged has come.
func (s *subscription) check(t *testing.T, name string, want map[string]int) {
	t.Helper()
	defer s.close()
	for publisher, n := range want {
		for end := time.Now().Add(time.Minute); s.highest(publisher) < n; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s: of %s %d came, %d were acknowledged", name, publisher, s.highest(publisher), n)
				break
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(*s.faults) > 0 {
		t.Errorf("%s: %d faults, such as %s", name, len(*s.faults), (*s.faults)[0])
	}
}
