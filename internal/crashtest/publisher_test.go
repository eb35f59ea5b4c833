//go:build integration

package crashtest

import (
	"context"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// pubackTimeout is how long a publisher waits for the broker.
const pubackTimeout = 10 * time.Second

// brokerAccess is how publishers reach the broker.
type brokerAccess struct{ url, username, password string }

// publisher publishes with QoS 1. It takes a new client after each failure: the
// library's own reconnecting can report success for what was not delivered.
type publisher struct {
	d        *driver
	clientID string
	client   paho.Client // nil while not connected
}

// publishAs publishes records of a machine until ctx ends.
func (d *driver) publishAs(ctx context.Context, machine string) {
	p := &publisher{d: d, clientID: "driver-" + machine}
	defer p.close()
	for ctx.Err() == nil {
		topic, body, n := d.message(machine)
		if !p.publish(topic, body) {
			return
		}
		d.ledger.ack(n, "")
		if n%10 == 0 { // as any sender may
			p.publish(topic, body)
		}
		pauseFor(ctx, d.pace.own)
	}
}

// message composes a record that has the same id however often it arrives.
func (d *driver) message(machine string) (topic, body string, n int) {
	at := time.Now().UTC().Truncate(time.Microsecond)
	n = d.ledger.begin(entry{machine: machine, door: "mqtt", time: at})
	return "crash/" + machine, fmt.Sprintf(`{"timestamp":%q,"n":%d}`, at.Format(time.RFC3339Nano), n), n
}

// publish repeats the same bytes until the broker has acknowledged: from then on
// the record must reach the store. It returns false if the broker never does.
func (p *publisher) publish(topic, body string) bool {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(p.d.pace.retry) {
		if p.client == nil && !p.connect() {
			continue
		}
		token := p.client.Publish(topic, 1, false, body)
		if token.WaitTimeout(pubackTimeout) && token.Error() == nil {
			return true
		}
		p.close()
	}
	p.d.t.Errorf("%s: no acknowledgement of %s", p.clientID, body)
	return false
}

// connect asks for a clean session: with a kept one the library would let what
// was published before a loss wait for a reconnect.
func (p *publisher) connect() bool {
	client := paho.NewClient(paho.NewClientOptions().AddBroker(p.d.broker.url).SetClientID(p.clientID).
		SetUsername(p.d.broker.username).SetPassword(p.d.broker.password).
		SetProtocolVersion(4).SetCleanSession(true).SetAutoReconnect(false))
	token := client.Connect()
	if !token.WaitTimeout(pubackTimeout) || token.Error() != nil {
		client.Disconnect(0)
		return false
	}
	p.client = client
	return true
}

func (p *publisher) close() {
	if p.client != nil {
		p.client.Disconnect(0)
		p.client = nil
	}
}
