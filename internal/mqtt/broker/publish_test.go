package broker_test

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/config"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/mqtttest"
)

// TestPublish: what the program says itself reaches subscribers, at once and later, and
// is not stored.
func TestPublish(t *testing.T) {
	t.Parallel()
	cfg := brokerConfig()
	cfg.Subscriptions = []config.Subscription{{Topic: "down/#", Format: config.FormatAuto}}
	ing := mqtttest.NewIngester()
	b := start(t, cfg, ing, slog.New(slog.DiscardHandler))
	got := make(chan string, 10)
	connect := func() paho.Client {
		o := options(b, "machine").SetCleanSession(false)
		o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { got <- string(m.Payload()) })
		client := paho.NewClient(o)
		if token := client.Connect(); !token.WaitTimeout(mqtttest.Patience) || token.Error() != nil {
			t.Fatal(token.Error())
		}
		return client
	}
	next := func(want string) {
		t.Helper()
		select {
		case text := <-got:
			if text != want {
				t.Errorf("came %s, want %s", text, want)
			}
		case <-time.After(mqtttest.Patience):
			t.Fatalf("%s did not come", want)
		}
	}
	publish := func(text string) {
		t.Helper()
		if _, err := b.Publish(t.Context(), mqtt.Publication{Topic: "down/M1", Payload: []byte(text), QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	client := connect()
	if token := client.Subscribe("down/+", 1, nil); !token.WaitTimeout(mqtttest.Patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	publish("1")
	next("1")
	client.Disconnect(100)
	publish("2")
	publish("3")
	client = connect()
	defer client.Disconnect(100)
	var waited []string
	for len(waited) == 0 || waited[len(waited)-1] != "3" {
		// What the broker was not told of before the end comes once more.
		if text := <-got; text != "1" {
			waited = append(waited, text)
		}
	}
	if !slices.Equal(waited, []string{"2", "3"}) {
		t.Errorf("what waited came as %q", waited)
	}
	if n := ing.Calls(); n != 0 {
		t.Errorf("%d calls to store what was published", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(t.Context(), mqtt.Publication{Topic: "down/M1", QoS: 1}); !errors.Is(err, mqtt.ErrNotConnected) {
		t.Errorf("published after the end: %v", err)
	}
}
