package opcua

import (
	"context"
	"errors"
	"testing"
	"time"

	"plantgate/internal/config"
)

// notes is a Notebook in memory.
type notes struct {
	kept map[string][]byte
	err  error
}

func (n *notes) ConnectionNotes(context.Context, string, string) (map[string][]byte, error) {
	return n.kept, n.err
}

func (n *notes) PutConnectionNote(_ context.Context, _, name string, text []byte) error {
	if n.err == nil {
		n.kept[name] = text
	}
	return n.err
}

// What is lost is known after a restart too, until its record is stored.
func TestHeard(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	book := &notes{kept: map[string][]byte{}}
	at := func(s int) time.Time { return time.Date(2026, 11, 27, 7, 0, s, 0, time.UTC) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	first := newHeard("press", book)
	must(first.load(ctx))
	first.begin("a", at(1))
	first.heard("a", at(5))
	first.heard("a", at(4)) // a clock that goes back
	if gaps := first.take("a"); len(gaps) != 0 {
		t.Errorf("the first session ever lost %v", gaps)
	}
	first.begin("a", at(8))
	gaps := first.take("a")
	if len(gaps) != 1 || !gaps[0].from.Equal(at(5)) || !gaps[0].to.Equal(at(8)) {
		t.Fatalf("an interruption lost %v", gaps)
	}
	first.heard("a", at(10))
	must(first.flush(ctx))

	// Killed before the record was stored: the loss is told again.
	second := newHeard("press", book)
	must(second.load(ctx))
	second.begin("a", at(20))
	if gaps := second.take("a"); len(gaps) != 1 || !gaps[0].from.Equal(at(5)) || !gaps[0].to.Equal(at(20)) {
		t.Errorf("after the kill %v is lost", gaps)
	}
	first.settled("a", gaps[0])
	must(first.flush(ctx))

	// Stored: only the time since is lost, also where the note can be read later only.
	book.err = errors.New("away")
	third := newHeard("press", book)
	if third.load(ctx) == nil {
		t.Fatal("a note was read of a database that is away")
	}
	third.begin("a", at(30))
	book.err = nil
	must(third.flush(ctx))
	if gaps := third.take("a"); len(gaps) != 1 || !gaps[0].from.Equal(at(10)) || !gaps[0].to.Equal(at(30)) {
		t.Errorf("after a stop %v is lost", gaps)
	}
}

// TestSessionsThatEndAtOnce lose what one interruption does.
func TestSessionsThatEndAtOnce(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Date(2026, 11, 27, 7, 0, s, 0, time.UTC) }
	h := newHeard("press", nil)
	for s := range 10 {
		h.begin("a", at(s))
	}
	gaps := h.take("a")
	if len(gaps) != 1 || !gaps[0].from.Equal(at(0)) || !gaps[0].to.Equal(at(9)) {
		t.Fatalf("lost are %v", gaps)
	}
	h.settled("a", gaps[0])
	h.heard("a", at(10))
	h.begin("a", at(20))
	if gaps = h.take("a"); len(gaps) != 1 || !gaps[0].from.Equal(at(10)) {
		t.Errorf("then lost are %v", gaps)
	}
	if open := h.of["a"].open; len(open) != 1 {
		t.Errorf("open are %v", open)
	}
	// What is on its way stays as it is.
	if h.begin("a", at(30)); len(h.of["a"].open) != 2 {
		t.Errorf("open are %v", h.of["a"].open)
	}
}

func TestOverflowIsLost(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Date(2026, 11, 27, 7, 0, s, 0, time.UTC) }
	h := newHeard("press", nil)
	h.begin("a", at(1))
	h.lose("a", at(3), at(9))
	h.lose("a", time.Time{}, at(9))
	h.lose("a", at(12), at(9))
	gaps := h.take("a")
	if len(gaps) != 3 || !gaps[0].from.Equal(at(3)) || !gaps[1].from.Equal(at(1)) || !gaps[2].from.Equal(at(9)) {
		t.Errorf("lost are %v", gaps)
	}
	// What another session had is not lost by the queue of this one's item.
	h.heard("a", at(20))
	h.begin("a", at(30))
	h.take("a")
	h.lose("a", time.Time{}, at(40))
	if gaps := h.take("a"); len(gaps) != 1 || !gaps[0].from.Equal(at(30)) {
		t.Errorf("of the second session lost are %v", gaps)
	}
}

// slowNotes do not answer before they are told to.
type slowNotes struct {
	notes
	asked, answer chan struct{}
}

func (n *slowNotes) ConnectionNotes(ctx context.Context, connection, prefix string) (map[string][]byte, error) {
	n.asked <- struct{}{}
	<-n.answer
	return n.notes.ConnectionNotes(ctx, connection, prefix)
}

// TestHeardWaitsForNoStore: a store that does not answer holds up no session.
func TestHeardWaitsForNoStore(t *testing.T) {
	t.Parallel()
	book := &slowNotes{notes{kept: map[string][]byte{}}, make(chan struct{}), make(chan struct{})}
	h := newHeard("press", book)
	loaded := make(chan error, 1)
	go func() { loaded <- h.load(t.Context()) }()
	<-book.asked
	begun := make(chan struct{})
	go func() {
		h.begin("a", time.Now())
		close(begun)
	}()
	select {
	case <-begun:
	case <-time.After(5 * time.Second):
		t.Error("an item can't begin while the store does not answer")
	}
	close(book.answer)
	if err := <-loaded; err != nil {
		t.Fatal(err)
	}
	<-begun
}

func TestSimplerForms(t *testing.T) {
	t.Parallel()
	n := &notifier{cfg: config.OPCUAEvents{}}
	var forms []form
	for n.simpler() {
		forms = append(forms, n.form)
	}
	if len(forms) != 1 || forms[0] != baseOnly {
		t.Errorf("without a filter the forms are %v", forms)
	}
	n = &notifier{cfg: config.OPCUAEvents{MinSeverity: 5}}
	for n.simpler() {
		forms = append(forms, n.form)
	}
	if len(forms) != 3 || forms[1] != everything {
		t.Errorf("with a severity the forms are %v", forms[1:])
	}
}
