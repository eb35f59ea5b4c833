package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plantgate/internal/command"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/outbox"
)

// OutboxStore is the part of the contract that is about commands and their messages.
type OutboxStore interface {
	command.Store
	outbox.Store
	lease.Store
	EnqueueMessages(ctx context.Context, list []outbox.Message) error
	WaitingOf(ctx context.Context, target string) (outbox.Waiting, error)
	Commands(ctx context.Context, f mes.CommandFilter) ([]mes.Command, error)
}

func commandOf(machine string, i int) (mes.Command, outbox.Message) {
	at := day.Add(time.Duration(i) * time.Second)
	c := mes.Command{
		ID: mes.NewID(), SiteID: "s", MachineID: machine, Name: "job_order.dispatch",
		Parameters: []byte(`{"order":"4711 \u0000 é","n":1.50}`), CreatedAt: at, CreatedBy: "key", State: mes.CommandPending,
	}
	return c, outbox.Message{
		ID: c.ID, Target: "mqtt:hall", Key: "s~" + machine, Topic: "plant/s/" + machine + "/commands",
		Payload: []byte("\x00\xff payload"), QoS: 1, CreatedAt: at,
	}
}

func create(t *testing.T, s OutboxStore, machine string, i int) mes.Command {
	t.Helper()
	c, m := commandOf(machine, i)
	if id, err := s.CreateCommand(t.Context(), c, m, nil); err != nil || id != c.ID {
		t.Fatalf("created %s as %s, %v", c.ID, id, err)
	}
	return c
}

func next(t *testing.T, s OutboxStore, key string, limit int) []outbox.Message {
	t.Helper()
	list, err := s.NextMessages(t.Context(), "mqtt:hall", key, limit)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func wantCommand(t *testing.T, s OutboxStore, want mes.Command) {
	t.Helper()
	got, err := s.Command(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
}

// testOutbox follows messages of two machines from their commands to the end.
func testOutbox(t *testing.T, all Store) {
	s := all.(OutboxStore)
	a1, b1, a2 := create(t, s, "A", 1), create(t, s, "a", 2), create(t, s, "A", 3)
	for _, c := range []mes.Command{a1, b1, a2} {
		wantCommand(t, s, c)
	}
	keys, err := s.WaitingKeys(t.Context(), "mqtt:hall")
	if err != nil || !cmp.Equal(keys, []string{"s~A", "s~a"}) {
		t.Fatalf("keys %q, %v", keys, err)
	}
	if keys, err := s.WaitingKeys(t.Context(), "mqtt:other"); err != nil || len(keys) != 0 {
		t.Errorf("another target has the keys %q, %v", keys, err)
	}
	if w, err := s.WaitingOf(t.Context(), "mqtt:hall"); err != nil || w.Messages != 3 || !w.Oldest.Equal(a1.CreatedAt) {
		t.Errorf("waiting %+v, %v", w, err)
	}
	list := next(t, s, "s~A", 10)
	_, want := commandOf("A", 1)
	want.ID = a1.ID
	if len(list) != 2 || list[1].ID != a2.ID || list[0].Position >= list[1].Position {
		t.Fatalf("messages of A: %+v", list)
	}
	if diff := cmp.Diff(want, list[0], cmpopts.IgnoreFields(outbox.Message{}, "Position")); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	if one := next(t, s, "s~A", 1); len(one) != 1 || one[0].ID != a1.ID {
		t.Errorf("the oldest of A: %+v", one)
	}
	at := day.Add(time.Minute)
	for range 2 { // a commit whose answer is lost is made again
		if err := s.MessageSent(t.Context(), list[0], at, nil); err != nil {
			t.Fatal(err)
		}
	}
	a1.State, a1.SentAt = mes.CommandSent, at
	wantCommand(t, s, a1)
	if err := s.MessageExpired(t.Context(), list[1], at, nil); err != nil {
		t.Fatal(err)
	}
	a2.State, a2.FinishedAt = mes.CommandExpired, at
	wantCommand(t, s, a2)
	if w, err := s.WaitingOf(t.Context(), "mqtt:hall"); err != nil || w.Messages != 1 || !w.Oldest.Equal(b1.CreatedAt) {
		t.Errorf("waiting at the end %+v, %v", w, err)
	}
	if w, err := s.WaitingOf(t.Context(), "mqtt:other"); err != nil || w != (outbox.Waiting{}) {
		t.Errorf("waiting for another target %+v, %v", w, err)
	}
}

// testOutboxRetained: of a value that stands only the newest goes, and none but those of
// its topic make way for it.
func testOutboxRetained(t *testing.T, all Store) {
	s := all.(OutboxStore)
	create(t, s, "A", 1)
	put := func(topic, payload string) {
		_, m := commandOf("A", 1)
		m.ID, m.Topic, m.Payload, m.Retained = mes.NewID(), topic, []byte(payload), true
		if err := s.EnqueueMessages(t.Context(), []outbox.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
	put("order/A", "1")
	put("other/A", "2")
	put("order/A", "3")
	put("order/A", "")
	var got []string
	for _, m := range next(t, s, "s~A", 10) {
		got = append(got, fmt.Sprintf("%s %t %q", m.Topic, m.Retained, m.Payload))
	}
	want := []string{`plant/s/A/commands false "\x00\xff payload"`, `other/A true "2"`, `order/A true ""`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// testOutboxFenced: who has lost the connection changes nothing any more.
func testOutboxFenced(t *testing.T, all Store) {
	s := all.(OutboxStore)
	c := create(t, s, "A", 1)
	m := next(t, s, "s~A", 1)[0]
	l, taken, err := s.ClaimLease(t.Context(), "connection:mqtt:hall", "one", 0, time.Minute)
	if err != nil || !taken {
		t.Fatalf("claimed %t, %v", taken, err)
	}
	before := l.Ownership()
	if err := s.ReleaseLease(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	l, taken, err = s.ClaimLease(t.Context(), "connection:mqtt:hall", "two", l.Epoch, time.Minute)
	if err != nil || !taken {
		t.Fatalf("claimed %t, %v", taken, err)
	}
	for _, settle := range []func(context.Context, outbox.Message, time.Time, *mes.Ownership) error{s.MessageSent, s.MessageExpired} {
		if err := settle(t.Context(), m, day, &before); !errors.Is(err, mes.ErrLeaseLost) {
			t.Errorf("a former owner settled a message: %v", err)
		}
	}
	wantCommand(t, s, c)
	now := l.Ownership()
	if err := s.MessageSent(t.Context(), m, day, &now); err != nil {
		t.Fatal(err)
	}
	if left := next(t, s, "s~A", 1); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

// testCommandRequests: a request that comes again makes nothing.
func testCommandRequests(t *testing.T, all Store) {
	s := all.(OutboxStore)
	key := func(hash byte) *mes.Idempotency { return &mes.Idempotency{Key: "key/Again ", Body: [32]byte{hash}} }
	c, m := commandOf("A", 1)
	var wg sync.WaitGroup
	ids := make([]mes.ID, 8)
	for i := range ids {
		wg.Go(func() {
			c, m := c, m
			c.ID = mes.NewID()
			m.ID = c.ID
			var err error
			if ids[i], err = s.CreateCommand(t.Context(), c, m, key(1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("one request made %s", ids)
		}
	}
	if n := len(next(t, s, "s~A", 100)); n != 1 {
		t.Fatalf("%d messages of one request", n)
	}
	if id, err := s.MadeByRequest(t.Context(), *key(1), c.CreatedAt); err != nil || id != ids[0] {
		t.Errorf("made %s, %v", id, err)
	}
	if _, err := s.MadeByRequest(t.Context(), *key(2), c.CreatedAt); !errors.Is(err, mes.ErrKeyReused) {
		t.Errorf("another request with the key: %v", err)
	}
	if _, err := s.CreateCommand(t.Context(), c, m, key(2)); !errors.Is(err, mes.ErrKeyReused) || mes.ErrorCode(err) != mes.CodeInvalid {
		t.Errorf("another request with the key: %v", err)
	}
	other := key(2)
	other.Key = "key/again "
	if id, err := s.MadeByRequest(t.Context(), *other, c.CreatedAt); err != nil || !id.IsZero() {
		t.Errorf("a key in other letters made %s, %v", id, err)
	}
	// After a day the key is free.
	later, m := commandOf("A", 86401)
	if id, err := s.MadeByRequest(t.Context(), *key(1), later.CreatedAt.Add(time.Second)); err != nil || !id.IsZero() {
		t.Errorf("a day later the key had made %s, %v", id, err)
	}
	later.CreatedAt = later.CreatedAt.Add(time.Second)
	if id, err := s.CreateCommand(t.Context(), later, m, key(2)); err != nil || id != later.ID {
		t.Errorf("a day later %s, %v", id, err)
	}
	// A commit whose answer is lost is made again, without a key too.
	before := len(next(t, s, "s~A", 100))
	if id, err := s.CreateCommand(t.Context(), later, m, nil); err != nil || id != later.ID {
		t.Errorf("made again %s, %v", id, err)
	}
	if after := len(next(t, s, "s~A", 100)); after != before {
		t.Errorf("%d messages became %d", before, after)
	}
}

// testCommandReplies moves commands on, and never back.
func testCommandReplies(t *testing.T, all Store) {
	s := all.(OutboxStore)
	c := create(t, s, "A", 1)
	second := 0
	reply := func(status mes.CommandState, message, data string, want command.ReplyOutcome) {
		t.Helper()
		second++
		r := mes.CommandReply{CommandID: c.ID, SiteID: "s", MachineID: "A", Status: status, Message: message, ReceivedAt: day.Add(time.Duration(second) * time.Second)}
		if data != "" {
			r.Data = []byte(data)
		}
		got, err := s.ReplyToCommands(t.Context(), []mes.CommandReply{r})
		if err != nil || len(got) != 1 || got[0] != want {
			t.Fatalf("%s: %v, %v; want %s", status, got, err, want)
		}
		if want == command.ReplyTaken {
			c.Take(r)
		}
		wantCommand(t, s, c)
	}
	m := next(t, s, "s~A", 1)[0]
	reply(mes.CommandAcknowledged, "seen \x00\x1a", "", command.ReplyTaken)
	if left := next(t, s, "s~A", 1); len(left) != 0 {
		t.Errorf("what was answered waits to be sent: %+v", left)
	}
	// The note of what was on its way comes after the answer.
	at := day.Add(time.Hour)
	if err := s.MessageSent(t.Context(), m, at, nil); err != nil {
		t.Fatal(err)
	}
	c.SentAt = at
	wantCommand(t, s, c)
	reply(mes.CommandAcknowledged, "again", "", command.ReplyLate)
	reply(mes.CommandCompleted, "", `{"made":[1,2.50]}`, command.ReplyTaken)
	reply(mes.CommandAcknowledged, "late", "", command.ReplyLate)
	reply(mes.CommandFailed, "otherwise", "null", command.ReplyLate)

	r := mes.CommandReply{CommandID: c.ID, Status: mes.CommandFailed, MachineID: "a", ReceivedAt: day}
	unknown := mes.CommandReply{CommandID: mes.NewID(), Status: mes.CommandFailed, ReceivedAt: day}
	elsewhere := mes.CommandReply{CommandID: c.ID, Status: mes.CommandFailed, SiteID: "line-2", MachineID: "A", ReceivedAt: day}
	stranger := mes.CommandReply{CommandID: c.ID, Status: mes.CommandFailed, SiteID: "line-2", MachineID: "B", ReceivedAt: day}
	got, err := s.ReplyToCommands(t.Context(), []mes.CommandReply{unknown, r, elsewhere, stranger})
	if err != nil || !cmp.Equal(got, []command.ReplyOutcome{command.ReplyUnknown, command.ReplyForeign, command.ReplyOtherSite, command.ReplyForeign}) {
		t.Errorf("an unknown and a foreign reply: %v, %v", got, err)
	}
	wantCommand(t, s, c)
}

// testCommandCancelled: what is pending can be cancelled, and a reply shows that it was
// sent all the same.
func testCommandCancelled(t *testing.T, all Store) {
	s := all.(OutboxStore)
	a, b := create(t, s, "A", 1), create(t, s, "A", 2)
	at := day.Add(time.Minute)
	for range 2 {
		if err := s.CancelCommand(t.Context(), a.ID, at); err != nil {
			t.Fatal(err)
		}
	}
	a.State, a.FinishedAt = mes.CommandCancelled, at
	wantCommand(t, s, a)
	left := next(t, s, "s~A", 10)
	if len(left) != 1 || left[0].ID != b.ID {
		t.Fatalf("left: %+v", left)
	}
	if err := s.MessageSent(t.Context(), left[0], at, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.CancelCommand(t.Context(), b.ID, at); mes.ErrorCode(err) != mes.CodeConflict {
		t.Errorf("a command that was sent is cancelled: %v", err)
	}
	if err := s.CancelCommand(t.Context(), mes.NewID(), at); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("an unknown command is cancelled: %v", err)
	}
	r := mes.CommandReply{CommandID: a.ID, Status: mes.CommandAcknowledged, ReceivedAt: at.Add(time.Second)}
	if got, err := s.ReplyToCommands(t.Context(), []mes.CommandReply{r}); err != nil || got[0] != command.ReplyTaken {
		t.Errorf("a reply to what was cancelled: %v, %v", got, err)
	}
	a.Take(r)
	wantCommand(t, s, a)
	if a.State != mes.CommandAcknowledged || !a.FinishedAt.IsZero() {
		t.Errorf("after the reply: %+v", a)
	}
}

func testCommandLists(t *testing.T, all Store) {
	s := all.(OutboxStore)
	var want []mes.ID
	for i := range 5 {
		want = append([]mes.ID{create(t, s, "A", i).ID}, want...)
		create(t, s, "a", i)
	}
	if err := s.CancelCommand(t.Context(), want[2], day); err != nil {
		t.Fatal(err)
	}
	for name, list := range map[string]struct {
		filter mes.CommandFilter
		want   []mes.ID
	}{
		"all":    {mes.CommandFilter{SiteID: "s", MachineID: "A"}, want},
		"first":  {mes.CommandFilter{SiteID: "s", MachineID: "A", Limit: 2}, want[:2]},
		"before": {mes.CommandFilter{SiteID: "s", MachineID: "A", Before: want[1]}, want[2:]},
		"state":  {mes.CommandFilter{SiteID: "s", MachineID: "A", State: mes.CommandCancelled}, want[2:3]},
		"nobody": {mes.CommandFilter{SiteID: "t", MachineID: "A"}, nil},
	} {
		found, err := s.Commands(t.Context(), list.filter)
		if err != nil {
			t.Fatal(err)
		}
		var got []mes.ID
		for _, c := range found {
			got = append(got, c.ID)
		}
		if diff := cmp.Diff(list.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := s.Command(t.Context(), mes.NewID()); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("an unknown command: %v", err)
	}
}
