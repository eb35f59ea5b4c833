//go:build integration

package crashtest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
)

// The short form of the soak is PLANTGATE_TEST_SOAK seconds long; `make soak-mqtt` makes
// it an hour.
const (
	shortSoak  = 20
	soakTopics = 1000
	// soakRate is messages a second.
	soakRate = 500
	// maxBurst bounds what is caught up with at once on a machine that is busy.
	maxBurst = 200
	// warm is from how long a soak on memory is compared. Before, the database's caches still
	// fill, of some 32 MiB by what is configured: the second sixth must begin behind that.
	warm = 20 * time.Minute
)

// usage is what the process takes at a moment.
type usage struct {
	at         time.Time
	memory     float64 // resident, in bytes
	goroutines float64
}

// TestSoakMQTT lets 1,000 machines send through one connection for long, each on a topic
// of its own, and looks whether memory or goroutines of the process grow: medians of the
// second and of the last sixth are compared.
func TestSoakMQTT(t *testing.T) {
	long := time.Duration(number(t, "PLANTGATE_TEST_SOAK", shortSoak)) * time.Second
	b := brokertest.Mosquitto(t)
	_, mqtt := realBroker(b)
	p := startPlant(t, build(t), "{log: {delay: 500ms}}", mqtt)
	f := &flood{plant: p, broker: b}
	f.awaitRunning()

	c := mqtttest.Connect(t, mqtttest.Options(b.URL(), "machines").SetUsername(b.Username).SetPassword(b.Password))
	const tick = 100 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	every := max(long/120, 500*time.Millisecond)
	var samples []usage
	sent := 0
	begun := time.Now()
	for now := begun; now.Sub(begun) < long; now = <-ticker.C {
		var last paho.Token
		due := min(int(now.Sub(begun).Seconds()*soakRate), sent+maxBurst)
		for ; sent < due; sent++ {
			last = c.Publish(fmt.Sprintf("crash/M%04d", sent%soakTopics), 1, false,
				fmt.Sprintf(`{"timestamp":%q,"temperature":%d.5,"count":%d}`, now.UTC().Format(time.RFC3339Nano), 20+sent%50, sent/soakTopics))
		}
		if last != nil {
			mqtttest.Wait(t, last)
		}
		if len(samples) == 0 || now.Sub(samples[len(samples)-1].at) >= every {
			samples = append(samples, p.usage())
		}
	}
	mqtttest.Eventually(t, "all of it stored", func() bool {
		received, inHand := p.traffic()
		return received >= sent && inHand == 0
	})
	if received, _ := p.traffic(); received != sent {
		t.Errorf("%d messages were sent and %d came", sent, received)
	}
	judge(t, samples, long)
	t.Logf("%d messages of %d topics in %s", sent, soakTopics, time.Since(begun).Round(time.Second))
}

// judge compares the second sixth of the samples with the last.
func judge(t *testing.T, samples []usage, long time.Duration) {
	t.Helper()
	sixth := len(samples) / 6
	if sixth == 0 {
		t.Fatalf("only %d samples", len(samples))
	}
	early, late := samples[sixth:2*sixth], samples[len(samples)-sixth:]
	memory := func(u usage) float64 { return u.memory / (1 << 20) }
	goroutines := func(u usage) float64 { return u.goroutines }
	m1, m2, g1, g2 := median(early, memory), median(late, memory), median(early, goroutines), median(late, goroutines)
	for i := range 6 {
		part := samples[i*sixth : (i+1)*sixth]
		t.Logf("sixth %d: %.1f MiB, %.0f goroutines", i+1, median(part, memory), median(part, goroutines))
	}
	t.Logf("resident memory %.1f MiB in the second sixth, %.1f in the last; goroutines %.0f and %.0f", m1, m2, g1, g2)
	if g2 > g1+10 {
		t.Errorf("goroutines grow from %.0f to %.0f", g1, g2)
	}
	if long >= warm && m2 > 1.1*m1+4 {
		t.Errorf("memory grows from %.1f to %.1f MiB", m1, m2)
	}
	if m2 > 300 {
		t.Errorf("%.1f MiB of memory", m2)
	}
}

func median(list []usage, of func(usage) float64) float64 {
	var values []float64
	for _, u := range list {
		values = append(values, of(u))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// read gets a path of the server.
func (p *plant) read(path string) io.Reader {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.url+path, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("x-api-key", p.key)
	res, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		p.t.Fatalf("GET %s: %d, %v", path, res.StatusCode, err)
	}
	return strings.NewReader(string(text))
}

// usage reads what the process says of itself.
func (p *plant) usage() usage {
	p.t.Helper()
	u := usage{at: time.Now()}
	lines := bufio.NewScanner(p.read("/metrics"))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "process_resident_memory_bytes":
			u.memory, _ = strconv.ParseFloat(value, 64)
		case "go_goroutines":
			u.goroutines, _ = strconv.ParseFloat(value, 64)
		}
	}
	if u.memory == 0 || u.goroutines == 0 {
		p.t.Fatal("the server does not tell its memory and goroutines")
	}
	return u
}

// traffic is what came by the connection, and what of it is in hand.
func (p *plant) traffic() (received, inHand int) {
	p.t.Helper()
	var list struct {
		Items []struct {
			Received int `json:"received"`
			InHand   int `json:"in_hand"`
		} `json:"items"`
	}
	if err := json.NewDecoder(p.read("/api/v1/adapters")).Decode(&list); err != nil || len(list.Items) != 1 {
		p.t.Fatalf("adapters: %v", err)
	}
	return list.Items[0].Received, list.Items[0].InHand
}
