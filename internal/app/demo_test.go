package app_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
	"plantgate/internal/demo"
)

// The demo shows machines of all three doors, and their values move.
func TestDemo(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	secrets, err := demo.OpenSecrets(folder)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Server.Listen, c.Metrics.Listen, c.MQTT.Broker.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	began := time.Now()
	client := runDemo(t, demo.Configure(c, folder, simulated(t).URL(), secrets), secrets)

	first := map[string]map[string]apptest.Latest{}
	moved := map[string]bool{} // by door
	apptest.Eventually(t, "values of every door that move", func() bool {
		for _, e := range apptest.Get[apptest.Page[apptest.Equipment]](client, "/api/v1/equipment?level=work_unit").Items {
			latest := latestOf(client, e.ID)
			if first[e.ID] == nil {
				first[e.ID] = latest
			}
			for signal, l := range latest {
				before, ok := first[e.ID][signal]
				if ok && l.Timestamp.After(before.Timestamp) && string(l.Value) != string(before.Value) {
					moved[l.Source] = true
				}
			}
		}
		return moved["rest"] && moved["mqtt"] && moved["opcua"]
	})
	t.Logf("all doors alive after %s", time.Since(began).Round(100*time.Millisecond))
	for _, machine := range []string{"M001", "M002", "M3", "M4", "OPC-DEMO", "PRESS-01", "MILL-01", "OVEN-01"} {
		if first[machine] == nil {
			t.Errorf("%s is missing", machine)
		}
	}
	if items := apptest.Get[apptest.Page[apptest.Quarantined]](client, "/api/v1/quarantine").Items; len(items) != 0 {
		t.Errorf("the demo sends what is not accepted: %+v", items)
	}
	made := apptest.Decode[commandOf](client.Do(http.MethodPost, "/api/v1/equipment/"+demo.Answering+"/commands", `{"command":"stop"}`).Want(http.StatusCreated))
	if c := awaitState(t, client, made.ID, "completed"); c.AcknowledgedAt == nil || c.Reply == nil || c.Reply.Message != "stop is done" {
		t.Errorf("a machine answered %+v", c)
	}
	again, err := demo.OpenSecrets(folder)
	if err != nil || again != secrets {
		t.Errorf("the secrets are not kept: %v", err)
	}
}

// runDemo runs server and plant until the end of the test.
func runDemo(t *testing.T, cfg config.Config, secrets demo.Secrets) *apptest.Client {
	t.Helper()
	a, err := app.Open(t.Context(), cfg, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	plant := demo.Plant{URL: a.URL(), CAFile: a.CAFile(), BrokerURL: a.BrokerURL(), Secrets: secrets, Log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- a.Run(ctx) }()
	go func() { done <- plant.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	client := apptest.NewClient(t, a.URL(), a.CAFile(), secrets.APIKey)
	if !slices.ContainsFunc(cfg.MQTT.Broker.Users, func(u config.BrokerUser) bool {
		return u.Username == demo.MQTTUser && u.Password == secrets.MQTTPassword
	}) {
		t.Error("the plant's user is not the broker's")
	}
	return client
}
