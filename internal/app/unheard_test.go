package app_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/mes"
	"plantgate/internal/outbox"
	"plantgate/internal/store"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestCommandWithoutSubscriber: of a command that the own broker has nobody for the log
// tells, by its id; not of other messages, nor of one that somebody gets.
func TestCommandWithoutSubscriber(t *testing.T) {
	t.Parallel()
	cfg := apptest.Configure(t.TempDir())
	throughOwn(&cfg)
	cfg.ApplyElementDefaults()
	db, err := store.Open(t.Context(), cfg.Store.DSN, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	var ids []mes.ID
	for _, m := range []struct{ topic, payload string }{
		{"down/main/M1/stop", `{"command_id":%q,"command":"stop"}`}, // somebody gets it
		{"down/main/M2/value", `{"value":1,"id":%q}`},               // no command
		{"down/main/M2/stop", `{"command_id":%q,"command":"stop"}`},
	} {
		id := mes.NewID()
		ids = append(ids, id)
		err = db.EnqueueMessages(t.Context(), []outbox.Message{{
			ID: id, Target: "broker", Key: "main~M1", Topic: m.topic, Payload: fmt.Appendf(nil, m.payload, id), QoS: 1, CreatedAt: time.Now(),
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	log := new(logged)
	a, err := app.Open(t.Context(), cfg, "test", slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, got := floorOf(t, a.BrokerURL(), "down/main/M1/#")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	if m := nextOf(t, got); !strings.Contains(string(m.Payload()), ids[0].String()) {
		t.Errorf("came %s", m.Payload())
	}
	apptest.Eventually(t, "the log tells of the command", func() bool { return strings.Contains(log.String(), "command_id="+ids[2].String()) })
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "a command reached nobody"); n != 1 {
		t.Errorf("it tells of %d commands:\n%s", n, log)
	}
}
