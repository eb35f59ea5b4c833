package mqtttest

import (
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Options returns client options for a test: no reconnecting, no waiting.
func Options(url, clientID string) *paho.ClientOptions {
	return paho.NewClientOptions().
		AddBroker(url).
		SetClientID(clientID).
		SetProtocolVersion(4).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetConnectTimeout(Patience).
		SetOrderMatters(true)
}

// Connect connects a client that is disconnected at the end of the test.
func Connect(t testing.TB, opts *paho.ClientOptions) paho.Client {
	t.Helper()
	client := paho.NewClient(opts)
	Wait(t, client.Connect())
	t.Cleanup(func() { client.Disconnect(250) })
	return client
}

// Publish publishes and waits for the acknowledgement of the QoS.
func Publish(t testing.TB, client paho.Client, topic string, qos byte, payload string) {
	t.Helper()
	Wait(t, client.Publish(topic, qos, false, payload))
}

// Wait waits for a token and fails on its error.
func Wait(t testing.TB, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(Patience) {
		t.Fatalf("no answer of the broker within %s", Patience)
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}
