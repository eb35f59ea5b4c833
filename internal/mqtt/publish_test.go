package mqtt_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/mqtttest"
)

// receiving is a hook that keeps what is published by a client. It can hold the
// acknowledgements.
type receiving struct {
	mochi.HookBase
	held chan struct{}
	got  chan packets.Packet
}

func newReceiving() *receiving { return &receiving{got: make(chan packets.Packet, 64)} }

func (*receiving) ID() string { return "receiving" }
func (*receiving) Provides(b byte) bool {
	return b == mochi.OnACLCheck || b == mochi.OnConnectAuthenticate || b == mochi.OnPublish || b == mochi.OnWillSent
}
func (*receiving) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (*receiving) OnACLCheck(*mochi.Client, string, bool) bool              { return true }
func (r *receiving) OnPublish(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	r.got <- p
	if r.held != nil {
		<-r.held
	}
	return p, nil
}
func (r *receiving) OnWillSent(_ *mochi.Client, p packets.Packet) { r.got <- p }

func (r *receiving) wait(t *testing.T) packets.Packet {
	t.Helper()
	select {
	case p := <-r.got:
		return p
	case <-time.After(mqtttest.Patience):
		t.Fatal("nothing was published")
		return packets.Packet{}
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	hook := newReceiving()
	addr := startBare(t, hook)
	var connected atomic.Int64
	a, err := mqtt.New(connection(addr), mqtt.Deps{
		Ingester: mqtttest.NewIngester(), Decoder: mqtttest.Decoder{}, Log: slog.New(slog.DiscardHandler),
		Connected: func() { connected.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	p := mqtt.Publication{Topic: "plant/M1/commands", Payload: []byte(`{"command":"start"}`), QoS: 1, Retained: true}
	if err := a.Publish(t.Context(), p); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Fatalf("before a connection Publish returns %v", err)
	}
	runUp(t, a)
	mqtttest.Eventually(t, "the call of Connected", func() bool { return connected.Load() == 1 })
	if err := a.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	got := hook.wait(t)
	if got.TopicName != p.Topic || !bytes.Equal(got.Payload, p.Payload) || got.FixedHeader.Qos != 1 || !got.FixedHeader.Retain {
		t.Errorf("the broker got %+v", got)
	}
}

// TestPublishWithoutAnswer: nothing is said to be published that the broker has not
// acknowledged.
func TestPublishWithoutAnswer(t *testing.T) {
	t.Parallel()
	hook := newReceiving()
	hook.held = make(chan struct{})
	proxy := mqtttest.NewProxy(t, startBare(t, hook))
	a := newAdapter(t, connection(proxy.Addr()), mqtttest.NewIngester())
	runUp(t, a)
	t.Cleanup(func() { close(hook.held) })
	p := mqtt.Publication{Topic: "plant/M1/commands", Payload: []byte("1"), QoS: 1}

	mqtttest.Eventually(t, "a session to publish by", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := a.Publish(ctx, p)
		if err == nil {
			t.Error("published without an acknowledgement")
		}
		return ctx.Err() != nil
	})
	result := make(chan error, 1)
	go func() { result <- a.Publish(context.Background(), p) }()
	time.Sleep(50 * time.Millisecond)
	proxy.Cut()
	select {
	case err := <-result:
		if mes.ErrorCode(err) != mes.CodeUnavailable {
			t.Errorf("Publish over a connection that ended returns %v", err)
		}
	case <-time.After(mqtttest.Patience):
		t.Error("Publish outlives its connection")
	}
}

func TestPresence(t *testing.T) {
	t.Parallel()
	tests := map[string]func(proxy *mqtttest.Proxy, stop func()){
		"stopped": func(_ *mqtttest.Proxy, stop func()) { stop() },
		"cut":     func(proxy *mqtttest.Proxy, _ func()) { proxy.Cut() },
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hook := newReceiving()
			proxy := mqtttest.NewProxy(t, startBare(t, hook))
			cfg := connection(proxy.Addr())
			cfg.Presence = config.Presence{Topic: "plant/plantgate", Online: "here", Offline: "gone"}
			stop := run(t, newAdapter(t, cfg, mqtttest.NewIngester()))
			for _, want := range []string{"here", "gone"} {
				got := hook.wait(t)
				if got.TopicName != "plant/plantgate" || string(got.Payload) != want || !got.FixedHeader.Retain {
					t.Errorf("got %s %q (retained %t), want %q", got.TopicName, got.Payload, got.FixedHeader.Retain, want)
				}
				if want == "here" {
					end(proxy, stop)
				}
			}
		})
	}
}
