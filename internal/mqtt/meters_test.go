package mqtt_test

import (
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/mqtttest"
)

// TestEachBindingTellsWhatComes: figures are of the connection and of each subscription;
// what is in hand is not stored yet.
func TestEachBindingTellsWhatComes(t *testing.T) {
	t.Parallel()
	hook := new(denying)
	cfg := connection(startBare(t, hook))
	zero := 0
	cfg.Subscriptions = []config.Subscription{
		{Topic: "plant/{machine}/data"}, {Topic: "forbidden/{machine}"}, {Topic: "loose/{machine}", QoS: &zero},
	}
	ing := mqtttest.NewIngester()
	a := newAdapter(t, cfg, ing)
	for _, b := range a.Status().Bindings {
		if b.State != mes.BindingWaiting {
			t.Errorf("before the connection %s is %s", b.Name, b.State)
		}
	}
	run(t, a)
	waitState(t, a, mes.AdapterDegraded)
	mqtttest.Eventually(t, "the answers", func() bool {
		b := a.Status().Bindings
		return b[0].State == mes.BindingGranted && b[1].State == mes.BindingRefused && b[2].State == mes.BindingGranted
	})
	if since := a.Status().Bindings[0].Since; time.Since(since) > mqtttest.Patience {
		t.Errorf("granted since %s", since)
	}

	c := mqtttest.Connect(t, mqtttest.Options(cfg.URL, "publisher"))
	mqtttest.Publish(t, c, "loose/M2", 1, "x")
	ing.WaitRecords(t, 1)
	release := ing.Hold()
	mqtttest.Publish(t, c, "plant/M1/data", 1, "poison")
	mqtttest.Publish(t, c, "plant/M1/data", 1, "good")
	mqtttest.Eventually(t, "two in hand", func() bool {
		s := a.Status()
		return s.InHand == 2 && s.Bindings[0].InHand == 2 && s.Bindings[2].InHand == 0
	})
	release()
	mqtttest.Eventually(t, "none in hand", func() bool { return a.Status().InHand == 0 })
	s := a.Status()
	if s.Received != 3 || s.Quarantined != 1 || s.Rate == 0 {
		t.Errorf("the connection: %+v", s.Flow)
	}
	for i, want := range []struct{ received, quarantined int64 }{{2, 1}, {0, 0}, {1, 0}} {
		b := s.Bindings[i]
		if b.Received != want.received || b.Quarantined != want.quarantined || b.InHand != 0 || (b.Rate > 0) != (want.received > 0) {
			t.Errorf("%s: %+v", b.Name, b.Flow)
		}
	}
}

// TestSharedBindingsAreAnswered: a group stands in the filter of SUBSCRIBE, and not in the
// binding's.
func TestSharedBindingsAreAnswered(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	cfg := connection(b.Addr().String())
	cfg.SharedGroup = "plantgate"
	a := newAdapter(t, cfg, mqtttest.NewIngester())
	stop := run(t, a)
	mqtttest.Eventually(t, "the answer", func() bool { return a.Status().Bindings[0].State == mes.BindingGranted })
	stop()
	if s := a.Status().Bindings[0].State; s != mes.BindingWaiting {
		t.Errorf("after the stop it is %s", s)
	}
}
