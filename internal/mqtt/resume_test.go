package mqtt_test

import (
	"slices"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/mqtttest"
)

// TestKnowsAgainWithoutTime cuts the connection after the delivery: the broker was not
// told, and delivers again what is stored by then.
func TestKnowsAgainWithoutTime(t *testing.T) {
	t.Parallel()
	hook := new(denying)
	addr := startBare(t, hook)
	primed(t, connection(addr))
	proxy := mqtttest.NewProxy(t, addr)
	c := mqtttest.Connect(t, mqtttest.Options("tcp://"+addr, "publisher"))
	ing := mqtttest.NewIngester()
	a := newAdapter(t, connection(proxy.Addr()), ing)
	runUp(t, a)
	mqtttest.Publish(t, c, "plant/M1/data", 1, "now 0")
	ing.WaitRecords(t, 1)
	// What the broker was not told of when the connection is cut comes again as well.
	mqtttest.Eventually(t, "the first acknowledgement", func() bool { return hook.acknowledged.Load() == 1 })

	release := ing.Hold()
	mqtttest.Publish(t, c, "plant/M1/data", 1, "now 1")
	ing.WaitCalls(t, 2)
	proxy.Cut()
	mqtttest.Eventually(t, "the delivery again", func() bool { return a.Status().Received == 3 })
	release()
	mqtttest.Eventually(t, "the acknowledgement", func() bool { return hook.acknowledged.Load() == 2 })
	mqtttest.Publish(t, c, "plant/M1/data", 1, "now 2")
	ing.WaitRecords(t, 3)
	if got := ing.Payloads(); !slices.Equal(got, []string{"now 0", "now 1", "now 2"}) {
		t.Errorf("stored %q", got)
	}
	if got := a.Status().Repeated; got != 1 {
		t.Errorf("%d were known again", got)
	}
}

// TestRetainedIsNoNews connects again and again, in the same process and in others: a
// retained message is stored once, and so is what came live and is retained since.
func TestRetainedIsNoNews(t *testing.T) {
	t.Parallel()
	b := startBroker(t, "127.0.0.1:0")
	addr := b.Addr().String()
	c := mqtttest.Connect(t, mqtttest.Options(b.URL(), "publisher").SetUsername("plant").SetPassword("secret"))
	retain := func(qos byte, payload string) { mqtttest.Wait(t, c.Publish("plant/M1/data", qos, true, payload)) }
	ing := mqtttest.NewIngester()
	var want []string
	session := func(publish ...string) {
		t.Helper()
		proxy := mqtttest.NewProxy(t, addr)
		a := newAdapter(t, connection(proxy.Addr()), ing)
		stop := run(t, a)
		waitState(t, a, mes.AdapterRunning)
		mqtttest.Eventually(t, "the retained message", func() bool { return a.Status().Received > 0 })
		for _, payload := range publish {
			ing.WaitRecords(t, len(want))
			retain(0, payload) // which nobody repeats
			want = append(want, payload)
		}
		ing.WaitRecords(t, len(want))
		before := a.Status().Received
		proxy.Cut()
		mqtttest.Eventually(t, "the retained message again", func() bool { return a.Status().Received > before })
		time.Sleep(20 * time.Millisecond)
		stop()
	}
	retain(1, "now 0") // the broker has it before the first subscription
	want = append(want, "now 0")
	session()
	session("now 1", "poison 2")
	session("now 0")
	session("now 0") // said again, and live
	if got := ing.Payloads(); !slices.Equal(got, want) {
		t.Errorf("stored %q, not %q", got, want)
	}
}
