//go:build integration

package mqtt_test

import (
	"fmt"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/doctor"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
)

// deployedMosquitto starts Mosquitto with the shipped files. The user of the test is a
// machine to the access list.
func deployedMosquitto(t *testing.T) *deployed {
	t.Helper()
	ca := brokertest.NewAuthority(t, "plant")
	own := ca.Issue(t, "127.0.0.1", time.Now().Add(24*time.Hour))
	b := brokertest.StartWith(t, brokertest.NameMosquitto, brokertest.Settings{
		Users: map[string]string{"plantgate": "pg-secret"},
		Conf: func(at brokertest.Places) string {
			acl := secretFile(t, shipped(t, "mosquitto/acl"))
			return shipped(t, "mosquitto/mosquitto.conf",
				"listener 8883\n", fmt.Sprintf("listener %d 127.0.0.1\n", at.TLSPort),
				"listener 1883 ", fmt.Sprintf("listener %d ", at.Port),
				"/etc/mosquitto/passwords\n", at.Passwords+"\n", "acl_file /etc/mosquitto/acl\n", "acl_file "+acl+"\n",
				"persistence_location /var/lib/mosquitto/", "persistence_location "+at.Folder+"/",
				"cafile /etc/mosquitto/tls/ca.pem", "cafile "+ca.File,
				"certfile /etc/mosquitto/tls/cert.pem", "certfile "+own.CertFile, "keyfile /etc/mosquitto/tls/key.pem", "keyfile "+own.KeyFile)
		},
	})
	return &deployed{Broker: b, t: t, ca: ca, user: "plantgate", passwords: secretFile(t, "pg-secret")}
}

// TestDeployedMosquitto: what is shipped for Mosquitto works with plantgate, its access list
// lets machines do what they need and no more, far more waits than a stock one keeps, and a
// kill loses nothing that was acknowledged more than a few seconds before.
func TestDeployedMosquitto(t *testing.T) {
	d := deployedMosquitto(t)
	cfg := d.connection()
	cfg.Subscriptions = []config.Subscription{{Topic: "plant/{line}/{machine}/data"}}
	found := examined(t, cfg)
	for _, check := range []string{"connect", "tls", "delivery", "subscription plant/{line}/{machine}/data", "shared subscriptions", "retained messages", "QoS 2", "largest message", "messages that wait"} {
		wantFinding(t, found, check, doctor.OK, "")
	}
	plain := cfg
	plain.URL, plain.Password = d.URL(), "pg-secret"
	primed(t, plain)
	machine := mqtttest.Connect(t, mqtttest.Options(d.URL(), "machine").SetUsername(d.Username).SetPassword(d.Password))
	const n = 3000 // more than 1000, which a stock one keeps
	for i := range n {
		mqtttest.Publish(t, machine, "plant/line-1/plant/data", 1, fmt.Sprint("waits ", i))
	}
	mqtttest.Publish(t, machine, "plant/line-1/other/data", 1, "of another machine")
	time.Sleep(4 * time.Second) // within which it is written
	d.Kill(t)
	d.Start(t)
	ing := mqtttest.NewIngester()
	run(t, newAdapter(t, cfg, ing))
	ing.WaitDistinct(t, n)
	for _, p := range ing.Payloads() {
		if p == "of another machine" {
			t.Error("a machine writes for another")
		}
	}
}

// TestMosquittoWhilePlantgateIsSlow: what a stock one has no room for while plantgate stores
// more slowly than machines send, it drops without a word, and the doctor warns of it. As it
// is shipped it keeps all of it. docs/mosquitto.md has the figures.
func TestMosquittoWhilePlantgateIsSlow(t *testing.T) {
	const n = 3000
	for name, c := range map[string]struct {
		limit, window int
		came          int
		level         doctor.Level
	}{
		"stock":                          {1000, 20, 1020, doctor.Warning},
		"as much ahead as it is shipped": {1000, 1000, 2000, doctor.OK},
		"as it is shipped":               {0, 1000, n, doctor.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.StartWith(t, brokertest.NameMosquitto, brokertest.Settings{Conf: func(at brokertest.Places) string {
				return fmt.Sprintf("allow_anonymous false\npassword_file %s\nmax_queued_messages %d\nmax_inflight_messages %d\nlistener %d 127.0.0.1\nlistener %d 127.0.0.1\n",
					at.Passwords, c.limit, c.window, at.Port, at.TLSPort)
			}})
			cfg := connectionTo(b)
			primed(t, cfg)
			wantFinding(t, examined(t, cfg), "messages that wait", c.level, "")
			ing := mqtttest.NewIngester()
			release := ing.Hold()
			a := newAdapter(t, cfg, ing)
			runUp(t, a)
			machine := mqtttest.Connect(t, mqtttest.Options(b.URL(), "machine").SetUsername(b.Username).SetPassword(b.Password))
			for i := range n {
				mqtttest.Publish(t, machine, "numbers/M1", 1, fmt.Sprint(i))
			}
			release()
			came := 0
			for before := -1; came != before; {
				before = came
				time.Sleep(time.Second)
				came = len(ing.Payloads())
			}
			t.Logf("of %d messages that were acknowledged to the machine %d came", n, came)
			if came != c.came {
				t.Errorf("%d came, not %d", came, c.came)
			}
			if s := a.Status(); c.limit != 0 && (s.State != mes.AdapterRunning || s.Reconnects != 0) {
				t.Errorf("status %+v", s)
			}
		})
	}
}

// TestWhatMosquittoLosesByAKill measures what a kill loses of acknowledged messages that
// wait for an absent session, by how often Mosquitto writes. docs/mosquitto.md has it.
func TestWhatMosquittoLosesByAKill(t *testing.T) {
	for name, c := range map[string]struct {
		autosave string
		pause    time.Duration
		// lost tells whether as many as that may be lost.
		lost func(of, lost int) bool
	}{
		"default":                      {"autosave_interval 1800", 4 * time.Second, func(of, lost int) bool { return lost == of }},
		"every second, killed at once": {"autosave_interval 1", 0, func(of, lost int) bool { return lost <= of }},
		"every second, killed later":   {"autosave_interval 1", 4 * time.Second, func(_, lost int) bool { return lost == 0 }},
		"every change, killed at once": {"autosave_interval 1\nautosave_on_changes true", 0, func(_, lost int) bool { return lost <= 100 }},
		"every change, killed later":   {"autosave_interval 1\nautosave_on_changes true", 4 * time.Second, func(_, lost int) bool { return lost == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.StartWith(t, brokertest.NameMosquitto, brokertest.Settings{Conf: func(at brokertest.Places) string {
				return fmt.Sprintf("allow_anonymous false\npassword_file %s\npersistence true\npersistence_location %s/\nmax_queued_messages 0\n%s\nlistener %d 127.0.0.1\nlistener %d 127.0.0.1\n",
					at.Passwords, at.Folder, c.autosave, at.Port, at.TLSPort)
			}})
			cfg := connectionTo(b)
			primed(t, cfg)
			// The session itself has to be written before anything may wait for it.
			b.Restart(t)
			began := time.Now()
			machine := mqtttest.Connect(t, mqtttest.Options(b.URL(), "machine").SetUsername(b.Username).SetPassword(b.Password))
			n := 0
			for ; time.Since(began) < 3500*time.Millisecond && n < 4000; n++ {
				mqtttest.Publish(t, machine, "numbers/M1", 1, fmt.Sprint(n))
			}
			took := time.Since(began)
			time.Sleep(c.pause)
			b.Kill(t)
			b.Start(t)
			ing := mqtttest.NewIngester()
			run(t, newAdapter(t, cfg, ing))
			seen := map[string]bool{}
			for before := -1; before != len(seen); {
				before = len(seen)
				time.Sleep(1500 * time.Millisecond)
				for _, p := range ing.Payloads() {
					seen[p] = true
				}
			}
			t.Logf("%d of %d lost, acknowledged within %s", n-len(seen), n, took.Round(time.Millisecond))
			if !c.lost(n, n-len(seen)) {
				t.Errorf("%d of %d lost", n-len(seen), n)
			}
		})
	}
}
