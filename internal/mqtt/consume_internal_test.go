package mqtt

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// unfolding makes thousands of records of each message, each of one signal.
type unfolding struct{}

const unfolded = 5000

func (unfolding) Decode(_ ingest.Source, body []byte) []mes.Record {
	list := make([]mes.Record, unfolded)
	for i := range list {
		list[i] = mes.Record{TimeOrigin: mes.TimeSource, Signals: []mes.Signal{{Name: string(body)}}}
	}
	return list
}

// taking notes which messages come, and how many records each time.
type taking struct {
	most int
	came []string
	stop func()
}

func (k *taking) Ingest(_ context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	k.most = max(k.most, len(batch))
	for i := 0; i < len(batch); i += unfolded {
		k.came = append(k.came, batch[i].Signals[0].Name)
	}
	if len(k.came) >= 20 {
		k.stop()
	}
	return make([]mes.Receipt, len(batch)), nil
}

// TestMessagesWithManyRecords: of those that wait only so many are read that their records
// don't fill the memory, the rest after they are stored, in order and each once.
func TestMessagesWithManyRecords(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	k := &taking{stop: cancel}
	a, err := New(config.MQTTConnection{
		Name: "plant", URL: "tcp://127.0.0.1:1", ClientID: "plantgate", Subscriptions: []config.Subscription{{Topic: "{machine}"}},
	}, Deps{Ingester: k, Decoder: unfolding{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if a.ledger, err = openLedger(ctx, nil, "plant"); err != nil {
		t.Fatal(err)
	}
	s := &session{a: a, ended: make(chan struct{}), answered: make(chan struct{})}
	close(s.ended)
	close(s.answered)
	var want, acknowledged []string
	put := func(name string) {
		want = append(want, name)
		a.queue.force(delivery{Message: Message{Topic: "M1", Payload: []byte(name)}, session: s, ack: func() { acknowledged = append(acknowledged, name) }})
	}
	for i := range 10 {
		put(fmt.Sprint(i))
	}

	batch := a.decode(a.queue.take(ctx, maxBatchMessages))
	if read := weight(batch...); len(batch) == 0 || read > maxReadRecords+2*unfolded {
		t.Errorf("%d messages with %d records and signals are read at once", len(batch), read)
	}
	a.queue.putBack(batch)
	for i := range 10 {
		put(fmt.Sprint("later ", i))
	}
	a.consume(ctx)
	if !slices.Equal(k.came, want) || !slices.Equal(acknowledged, want) {
		t.Errorf("stored %q, acknowledged %q", k.came, acknowledged)
	}
	if k.most > maxReadRecords {
		t.Errorf("%d records are stored at once", k.most)
	}
	if !a.queue.isEmpty() {
		t.Error("it counts messages that are stored")
	}
}

// TestRetainedTopicsAreBounded: when there are more than are kept, those are forgotten of
// which nothing came for longest, here as in the store.
func TestRetainedTopicsAreBounded(t *testing.T) {
	t.Parallel()
	l, err := openLedger(t.Context(), nil, "plant")
	if err != nil {
		t.Fatal(err)
	}
	l.maxRetained = 80
	show := func(name string) (known bool) {
		d := delivery{Message: Message{Topic: name, Payload: []byte("x"), Retained: true}, qos: 1}
		if known = l.repeatsRetained(&d); !known {
			l.note(&d)
		}
		return known
	}
	for i := range 10_000 {
		show(fmt.Sprint("topic ", i))
		if len(l.retained) > 90 {
			t.Fatalf("%d topics are remembered", len(l.retained))
		}
	}
	for i := 9_999; i >= 9_920; i-- {
		if !show(fmt.Sprint("topic ", i)) {
			t.Fatalf("topic %d is not known any more", i)
		}
	}
	if show("topic 1") {
		t.Error("a topic is known that was forgotten")
	}
}
