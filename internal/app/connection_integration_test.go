//go:build integration

package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
	"plantgate/internal/store"
)

// held is a server's way to the database, which can be held up.
type held struct {
	*store.Store
	store.Intake
	mu sync.RWMutex
}

func (h *held) Leases(ctx context.Context, prefix string) ([]lease.Lease, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.Store.Leases(ctx, prefix)
}

func (h *held) RenewLease(ctx context.Context, l lease.Lease, keep time.Duration) (bool, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.Store.RenewLease(ctx, l, keep)
}

func (h *held) Update(ctx context.Context, fn func(ingest.Tx) error) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.Intake.Update(ctx, fn)
}

func (h *held) KnowsEquipment(context.Context, string, string) (bool, error) { return true, nil }

func (h *held) QuarantineItem(ctx context.Context, id mes.ID) (mes.QuarantineItem, error) {
	return h.Store.QuarantineItem(ctx, id)
}

// TestConnectionGoesOver publishes messages without a time, which have no identity but
// their arrival, while the server that has the connection is held up, loses it to
// another, and goes on with what it had in hand: each message is stored once.
func TestConnectionGoesOver(t *testing.T) {
	for _, name := range []string{brokertest.NameMosquitto, brokertest.NameRabbitMQ} {
		t.Run(name, func(t *testing.T) { testGoesOver(t, brokertest.Start(t, name)) })
	}
}

func testGoesOver(t *testing.T, broker *brokertest.Broker) {
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	sites, err := ingest.NewSites("main", map[string]string{"main": "UTC"})
	if err != nil {
		t.Fatal(err)
	}
	decoder := ingest.NewDecoder(ingest.Limits{MaxRecord: 1 << 16, MaxBatch: 100, MaxDepth: 8}, sites)
	start := func(server string) (*held, app.Adapter) {
		log := log.With("server", server)
		db := &held{Store: s, Intake: s.Intake()}
		service := ingest.New(db, decoder, ingest.Options{
			Sites: sites, MaxFuture: time.Minute, DedupeWindow: time.Hour, Unknown: ingest.RegisterUnknown,
			QueueRecords: 1000, QueueBytes: 1 << 20, Logger: log,
		})
		keeper := lease.New(db, "connection", server, []string{app.ConnectionName(mes.DoorMQTT, "line")}, lease.Options{Keep: time.Second, Every: 100 * time.Millisecond, Logger: log})
		c := app.Connect(mes.DoorMQTT, "line", keeper, service.Patient(), func(ingester ingest.Ingester) (app.Adapter, error) {
			return mqtt.New(config.MQTTConnection{
				Name: "line", URL: broker.URL(), ClientID: "plantgate-line", Username: broker.Username, Password: broker.Password,
				KeepAlive: 30 * time.Second, Subscriptions: []config.Subscription{{Topic: "line/{machine}"}},
			}, mqtt.Deps{Ingester: ingester, Decoder: decoder, Log: log})
		})
		for _, part := range []func(context.Context) error{service.Run, c.Run, func(ctx context.Context) error { keeper.Run(ctx); return nil }} {
			running.Go(func() {
				if err := part(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		return db, c
	}
	db, first := start("a")
	apptest.Eventually(t, "the first has the connection", func() bool { return first.Status().State == mes.AdapterRunning })
	_, second := start("b")
	publisher := mqtttest.Connect(t, mqtttest.Options(broker.URL(), "publisher").SetUsername(broker.Username).SetPassword(broker.Password))
	const messages = 1500
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range messages {
			mqtttest.Publish(t, publisher, "line/M1", 1, fmt.Sprintf(`{"n": %d}`, i))
			time.Sleep(4 * time.Millisecond)
		}
	}()
	time.Sleep(time.Second)
	db.mu.Lock()
	time.Sleep(200 * time.Millisecond) // it has messages in hand
	held := time.Now()
	apptest.Eventually(t, "the second has the connection", func() bool { return second.Status().State == mes.AdapterRunning })
	took := time.Since(held)
	time.Sleep(500 * time.Millisecond)
	db.mu.Unlock()
	apptest.Eventually(t, "the first knows", func() bool { return first.Status().State == mes.AdapterStandby })
	<-published

	count := func() map[string]int {
		list, err := s.Records(t.Context(), mes.RecordFilter{MachineID: "M1", Limit: 2 * messages})
		if err != nil {
			t.Fatal(err)
		}
		n := map[string]int{}
		for _, r := range list {
			n[r.Signals[0].Value.Text()]++
		}
		return n
	}
	apptest.Eventually(t, "every message is stored", func() bool { return len(count()) == messages })
	for value, n := range count() {
		if n != 1 {
			t.Errorf("message %s is stored %d times", value, n)
		}
	}
	t.Logf("taken over after %v; the first has received %d messages, the second %d", took.Round(10*time.Millisecond), first.Status().Received, second.Status().Received)
}
