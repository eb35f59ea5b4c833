package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/mqtt/brokertest"
)

// The topics of the messages, plantgate's binding of them, and the names of the
// sessions that the broker keeps messages for.
const (
	mqttTopic      = "bench/%s/data"
	mqttBinding    = "bench/{machine}/data"
	mqttFilter     = "bench/+/data"
	clientDrain    = "benchsystem-drain"
	clientServer   = "plantgate-bench"
	mqttWindow     = 1000 // publications that wait for their acknowledgement
	mqttPatience   = 30 * time.Second
	mqttDisconnect = 250 // milliseconds
)

// mqtt measures how fast what a broker has kept gets out of it: to a subscriber
// that acknowledges at once and stores nothing, and to plantgate, which
// acknowledges what it has committed. Both have a session of the same kind.
func (b *bench) mqtt(ctx context.Context) error {
	for _, name := range b.brokers {
		if !brokertest.Installed(name) {
			b.report.note("%s is not installed, so it was left out", name)
			continue
		}
		for _, window := range b.mqttWindows {
			if err := b.mqttBroker(ctx, name, window); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func (b *bench) mqttBroker(ctx context.Context, name string, window int) error {
	broker, end, err := startBroker(name, b.folder, brokertest.Settings{Window: window})
	if err != nil {
		return err
	}
	defer end()
	config := filepath.Join(b.folder, name+".yaml")
	if err := os.WriteFile(config, []byte(connectionTo(broker)), 0o600); err != nil {
		return err
	}
	figures := "mqtt/" + name
	if window > 0 {
		figures += fmt.Sprintf("/window-%d", window)
	}
	for round := range b.mqttRounds {
		b.progress("MQTT by %s, round %d of %d", name, round+1, b.mqttRounds)
		drained, err := b.drainRound(ctx, broker, figures)
		if err != nil {
			return err
		}
		stored, err := b.storeRound(ctx, broker, config, figures)
		if err != nil {
			return err
		}
		b.report.add(figures+"/ratio", "rate/drain", stored/drained)
	}
	return nil
}

// connectionTo is a configuration with nothing but the connection to the broker.
func connectionTo(broker *brokertest.Broker) string {
	return fmt.Sprintf(`mqtt:
  connections:
  - name: bench
    url: %s
    client_id: %s
    username: %s
    password: %s
    subscriptions:
    - topic: %s
      qos: 1
`, strings.Replace(broker.URL(), "tcp:", "mqtt:", 1), clientServer, broker.Username, broker.Password, mqttBinding)
}

// drainRound fills a session and empties it, and returns the messages a second.
func (b *bench) drainRound(ctx context.Context, broker *brokertest.Broker, name string) (float64, error) {
	if err := subscribe(broker, clientDrain); err != nil {
		return 0, err
	}
	if err := b.publish(ctx, broker, name); err != nil {
		return 0, err
	}
	rate, err := drainSession(ctx, broker, b.mqttMessages)
	if err != nil {
		return 0, err
	}
	b.report.add(name+"/drain", "messages/s", rate)
	return rate, nil
}

// storeRound fills the session of plantgate while that is away, starts it, and
// returns how many records a second it stores.
func (b *bench) storeRound(ctx context.Context, broker *brokertest.Broker, config, name string) (float64, error) {
	folder := b.server.folder
	if err := b.stopServer(ctx); err != nil {
		return 0, err
	}
	if err := subscribe(broker, clientServer); err != nil {
		return 0, err
	}
	if err := b.publish(ctx, broker, name); err != nil {
		return 0, err
	}
	var err error
	if b.server, err = startServer(ctx, b.binary, folder, config); err != nil {
		return 0, err
	}
	rate, err := b.storeWaiting(ctx, name+"/plantgate")
	if err != nil {
		return 0, err
	}
	// The broker keeps nothing for plantgate while the other is measured.
	folder = b.server.folder
	if err := b.stopServer(ctx); err != nil {
		return 0, err
	}
	if err := forget(broker, clientServer); err != nil {
		return 0, err
	}
	b.server, err = startServer(ctx, b.binary, folder, "")
	return rate, err
}

// storeWaiting waits until plantgate has stored what the broker kept.
func (b *bench) storeWaiting(ctx context.Context, name string) (float64, error) {
	began, err := cpuOf(b.server.pid())
	if err != nil {
		return 0, err
	}
	var first, last, atFirst, created float64
	for start := time.Now(); created < float64(b.mqttMessages); {
		before := created
		if created, _, err = b.server.metric(ctx, metricCreated); err != nil {
			return 0, err
		}
		now := time.Since(start).Seconds()
		switch {
		case created > 0 && first == 0:
			first, atFirst = now, created
			fallthrough
		case created > before:
			last = now
		case now-last > mqttPatience.Seconds():
			return 0, fmt.Errorf("plantgate stored %.0f of %d messages", created, b.mqttMessages)
		}
		if err := pause(ctx, 25*time.Millisecond); err != nil {
			return 0, err
		}
	}
	b.server.acknowledged += int64(b.mqttMessages)
	if _, err := b.server.drain(ctx); err != nil {
		return 0, err
	}
	ended, err := cpuOf(b.server.pid())
	if err != nil {
		return 0, err
	}
	if last == first {
		return 0, errors.New("plantgate stored all messages before it could be watched; more are needed")
	}
	rate := (created - atFirst) / (last - first)
	b.report.add(name, "records/s", rate)
	b.report.add(name, "server-cpu-us/record", perThing(ended-began, int64(b.mqttMessages)))
	return rate, nil
}

// mqttOptions are those of plantgate's own sessions.
func mqttOptions(broker *brokertest.Broker, clientID string) *paho.ClientOptions {
	return paho.NewClientOptions().
		AddBroker(broker.URL()).
		SetProtocolVersion(4).
		SetClientID(clientID).
		SetCleanSession(false).
		SetUsername(broker.Username).
		SetPassword(broker.Password).
		SetKeepAlive(30 * time.Second).
		SetConnectTimeout(mqttPatience).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(true)
}

// await waits for the broker's answer.
func await(token paho.Token) error {
	if !token.WaitTimeout(mqttPatience) {
		return fmt.Errorf("no answer of the broker within %s", mqttPatience)
	}
	return token.Error()
}

// subscribe makes the session, so that the broker keeps messages for it.
func subscribe(broker *brokertest.Broker, clientID string) error {
	c := paho.NewClient(mqttOptions(broker, clientID))
	if err := await(c.Connect()); err != nil {
		return err
	}
	defer c.Disconnect(mqttDisconnect)
	return await(c.Subscribe(mqttFilter, 1, nil))
}

// forget ends the session.
func forget(broker *brokertest.Broker, clientID string) error {
	c := paho.NewClient(mqttOptions(broker, clientID).SetCleanSession(true))
	if err := await(c.Connect()); err != nil {
		return err
	}
	c.Disconnect(mqttDisconnect)
	return nil
}

// publish publishes the messages of a round without waiting for each
// acknowledgement, but for all of them.
func (b *bench) publish(ctx context.Context, broker *brokertest.Broker, name string) error {
	c := paho.NewClient(mqttOptions(broker, "benchsystem-publisher").SetCleanSession(true))
	if err := await(c.Connect()); err != nil {
		return err
	}
	defer c.Disconnect(mqttDisconnect)
	window := make([]paho.Token, mqttWindow)
	began := time.Now()
	for i := range b.mqttMessages + mqttWindow {
		place := &window[i%mqttWindow]
		if *place != nil {
			if err := await(*place); err != nil {
				return err
			}
			*place = nil
		}
		if i < b.mqttMessages {
			at := time.UnixMicro(b.clock.take(1)).UTC().Format(layout)
			*place = c.Publish(fmt.Sprintf(mqttTopic, machineID(i%b.machines)), 1, false, `{"timestamp":"`+at+recordEnd)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	b.report.add(name+"/publish", "messages/s", float64(b.mqttMessages)/time.Since(began).Seconds())
	return nil
}

// drainSession takes n messages of the session, acknowledges each at once, ends
// the session and returns the messages a second.
func drainSession(ctx context.Context, broker *brokertest.Broker, n int) (float64, error) {
	var (
		first, last time.Time
		taken       int
		done        = make(chan struct{})
	)
	c := paho.NewClient(mqttOptions(broker, clientDrain).SetAutoAckDisabled(true).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			m.Ack()
			if taken == 0 {
				first = time.Now()
			}
			if taken++; taken == n {
				last = time.Now()
				close(done)
			}
		}))
	if err := await(c.Connect()); err != nil {
		return 0, err
	}
	if err := await(c.Subscribe(mqttFilter, 1, nil)); err != nil {
		return 0, err
	}
	select {
	case <-done:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(drainTimeout):
		return 0, fmt.Errorf("the broker has not delivered %d messages within %s", n, drainTimeout)
	}
	c.Disconnect(mqttDisconnect)
	return float64(n-1) / last.Sub(first).Seconds(), forget(broker, clientDrain)
}
