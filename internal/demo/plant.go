package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	machines "plantgate/internal/sim"
)

// Plant is the part of the simulated plant that comes by itself: publishers and
// posters. The machines behind the OPC UA server are the server's.
type Plant struct {
	// URL is the address of the HTTP interface and CAFile what it is trusted by.
	URL, CAFile string
	BrokerURL   string
	Secrets     Secrets
	Log         *slog.Logger
}

// Run publishes and posts until ctx ends.
func (p *Plant) Run(ctx context.Context) error {
	client, err := p.httpClient()
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for i, name := range []string{"M001", "M002"} {
		m := machines.Mill(name, uint64(20+i))
		m.Step(shift(i))
		all.Go(func() { p.post(ctx, client, m) })
	}
	for i, name := range []string{"M3", "M4"} {
		m := machines.Press(name, uint64(30+i))
		m.Step(shift(i + 2))
		all.Go(func() { p.publish(ctx, m, name == Answering) })
	}
	all.Wait()
	client.CloseIdleConnections()
	return nil
}

// shift is how long the i-th machine has been at work when the demo starts, so
// that they are not all in the same state.
func shift(i int) time.Duration { return time.Duration(5+11*i) * time.Minute }

// httpClient trusts the server's own CA, and nothing else if it has one.
func (p *Plant) httpClient() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.CAFile != "" {
		pem, err := os.ReadFile(p.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(pem)
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}, nil
}

// every calls fn each period until ctx ends, with the time since the last call.
func every(ctx context.Context, period time.Duration, fn func(now time.Time, dt time.Duration)) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case now := <-ticker.C:
			fn(now, now.Sub(last))
			last = now
		case <-ctx.Done():
			return
		}
	}
}

// post sends one flat record a second, as an edge script does. A record that was
// not accepted is sent again: its time makes that harmless.
func (p *Plant) post(ctx context.Context, client *http.Client, m *machines.Machine) {
	var unsent [][]byte
	every(ctx, time.Second, func(now time.Time, dt time.Duration) {
		m.Step(dt)
		record := map[string]any{"machine_id": m.ID(), "timestamp": now.UTC().Format(time.RFC3339Nano), "status": m.State().String()}
		for _, r := range m.Readings() {
			if r.Name != "State" {
				record[snake(r.Name)] = r.Value
			}
		}
		body, _ := json.Marshal(record) // readings are numbers
		unsent = append(unsent, body)
		for len(unsent) > 0 {
			if err := p.send(ctx, client, unsent[0]); err != nil {
				if ctx.Err() == nil {
					p.Log.Warn("poster will try again", "machine_id", m.ID(), "error", err)
				}
				unsent = unsent[max(0, len(unsent)-maxUnsent):]
				return
			}
			unsent = unsent[1:]
		}
	})
}

// maxUnsent is how many records a poster keeps for a server that is away.
const maxUnsent = 3600

func (p *Plant) send(ctx context.Context, client *http.Client, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/data", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("x-api-key", p.Secrets.APIKey)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %s", resp.Status)
	}
	return nil
}

// publish sends an envelope for each good part and each check, and the machine's
// signals as a flat record, with QoS 1. It answers commands too, if it is told to.
func (p *Plant) publish(ctx context.Context, m *machines.Machine, answers bool) {
	options := paho.NewClientOptions().AddBroker(p.BrokerURL).SetClientID("demo-" + m.ID()).
		SetUsername(MQTTUser).SetPassword(p.Secrets.MQTTPassword).
		SetConnectRetry(true).SetConnectRetryInterval(time.Second).SetMaxReconnectInterval(2 * time.Second)
	orders := newOrders(p, m.ID())
	if answers {
		options.SetOnConnectHandler(orders.subscribe)
	}
	client := paho.NewClient(options)
	client.Connect()
	defer client.Disconnect(250)
	good := m.Good()
	every(ctx, time.Second, func(_ time.Time, dt time.Duration) {
		m.Step(dt)
		if made := m.Good() - good; made > 0 {
			good = m.Good()
			p.publishJSON(client, ProductionTopic, envelope("Production", m.ID(), made, "pcs"))
			p.publishJSON(client, ProductionTopic, envelope("Quality", m.ID(), measured(m), "mm"))
		}
		record := map[string]any{"status": m.State().String(), "timestamp": time.Now().UTC().Format(time.RFC3339Nano)}
		for _, r := range m.Readings() {
			if r.Name != "State" {
				record[snake(r.Name)] = r.Value
			}
		}
		orders.finish(client)
		p.publishJSON(client, strings.NewReplacer("{line}", "line-2", "{machine}", m.ID()).Replace(DataTopic), record)
	})
}

func envelope(dataType, machine string, value any, unit string) any {
	return map[string]any{"DataType": dataType, "Payload": map[string]any{"MachineID": machine, "Value": value, "Unit": unit}}
}

// measured is a dimension that drifts with the last cycle's time.
func measured(m *machines.Machine) float64 {
	for _, r := range m.Readings() {
		if v, ok := r.Value.(float64); ok && r.Name == "CycleTime" {
			return 42 + (v-4)/10
		}
	}
	return 42
}

func (p *Plant) publishJSON(client paho.Client, topic string, message any) {
	body, _ := json.Marshal(message) // numbers and strings
	client.Publish(topic, 1, false, body)
}

// snake turns CycleTime into cycle_time.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
