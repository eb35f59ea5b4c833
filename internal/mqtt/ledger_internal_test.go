package mqtt

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// ledgerOf makes a ledger of messages that are one letter each; those after "|" the
// broker can't have been told of.
func ledgerOf(text string) *ledger {
	l := &ledger{}
	before, after, _ := strings.Cut(text, "|")
	for i, letters := range []string{before, after} {
		for _, c := range contentsOf(letters) {
			l.recent = append(l.recent, delivered{number: l.next, content: c, unacknowledged: i == 1})
			l.next++
		}
	}
	return l
}

func contentsOf(letters string) []content {
	var list []content
	for _, r := range letters {
		list = append(list, mes.ContentOf([]byte(string(r))))
	}
	return list
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		stored, again       string
		more                bool
		known               int
		doubtful, undecided bool
	}{
		"nothing":                     {"abc", "", false, 0, false, false},
		"nothing yet":                 {"abc", "", true, 0, false, true},
		"first connect":               {"", "ab", true, 0, false, false},
		"the last":                    {"abc", "c", false, 1, false, false},
		"the last two":                {"abc", "bc", false, 2, false, false},
		"all":                         {"abc", "abc", false, 3, false, false},
		"and what never came":         {"abc", "bcxy", false, 2, false, false},
		"only what never came":        {"abc", "xy", true, 0, false, false},
		"not the end":                 {"abc", "b", false, 0, false, false},
		"not the end, maybe yet":      {"abc", "b", true, 0, false, true},
		"what never came looks alike": {"abc", "bx", true, 0, false, false},
		"again in other order":        {"abc", "cb", true, 1, false, false},
		"in one way by what follows":  {"xyxzxw", "xw", false, 2, false, false},
		"only what repeats":           {"xyx", "x", false, 0, true, false},
		"repeats, and one that's new": {"xyxz", "xz", false, 2, false, false},
		"in several ways":             {"aaa", "aa", false, 0, true, false},
		"in several ways, all sure":   {"|aaa", "aaaa", false, 3, false, false},
		"in several ways, two sure":   {"a|aa", "aaa", false, 2, true, false},
		"sure, and fewer came yet":    {"a|bc", "b", true, 0, false, true},
		"sure, and the broker lost":   {"a|bc", "x", false, 0, false, false},
		"sure, and one before":        {"ab|cd", "bcd", false, 3, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known, _, doubtful, undecided := ledgerOf(tt.stored).overlay(contentsOf(tt.again), tt.more)
			if known != tt.known || doubtful != tt.doubtful || undecided != tt.undecided {
				t.Errorf("%q over %q: %d, doubtful %t, undecided %t", tt.again, tt.stored, known, doubtful, undecided)
			}
		})
	}
}

// TestRetainedAfterLive: what came live is no news as the retained message of its topic,
// in the same process and in the next.
func TestRetainedAfterLive(t *testing.T) {
	t.Parallel()
	message := func(payload string) Message { return Message{Topic: "a", Payload: []byte(payload)} }
	l, err := openLedger(t.Context(), nil, "plant")
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{"1", "2"} {
		l.note(&delivery{Message: message(payload)})
	}
	next, err := openLedger(t.Context(), nil, "plant")
	if err != nil {
		t.Fatal(err)
	}
	two := message("2")
	next.recent = []delivered{{content: two.content()}}
	for _, payload := range []string{"1", "3", "2"} {
		want := payload == "2"
		m := delivery{Message: message(payload)}
		if got := l.repeatsRetained(&m); got != want {
			t.Errorf("in the same process %s is no news: %t", payload, got)
		}
		if got := next.repeatsRetained(&m); got != want {
			t.Errorf("in the next process %s is no news: %t", payload, got)
		}
	}
	notes := l.note(&delivery{Message: Message{Topic: "b", Payload: []byte("x")}})
	if len(notes) != 1 || !strings.HasPrefix(notes[0].Name, retainedPrefix) || notes[0].Content != two.content() {
		t.Errorf("the retained message is noted with the next one as %v", notes)
	}
}

// TestRetainedThatComesLate: a broker sends again a retained message that it was not told
// of, though the topic has another by now.
func TestRetainedThatComesLate(t *testing.T) {
	t.Parallel()
	l, err := openLedger(t.Context(), nil, "plant")
	if err != nil {
		t.Fatal(err)
	}
	stored := func(payload string, retained, dup bool) bool {
		d := &delivery{Message: Message{Topic: "a", Payload: []byte(payload), Retained: retained}, qos: 1, dup: dup}
		if retained && l.repeatsRetained(d) {
			return false
		}
		l.note(d)
		return true
	}
	for i, step := range []struct {
		payload            string
		retained, dup, new bool
	}{
		{"1", true, false, true},
		{"2", false, false, true},
		{"1", true, true, false},
		{"2", true, false, false},
		{"0", true, true, true}, // which never came, and changes nothing
		{"2", true, false, false},
		{"3", true, false, true},
	} {
		if got := stored(step.payload, step.retained, step.dup); got != step.new {
			t.Errorf("step %d: %s is stored: %t", i, step.payload, got)
		}
	}
}

// TestLedgerOfSharedSubscriptions: each server of a group has a session, and notes, of
// its own.
func TestLedgerOfSharedSubscriptions(t *testing.T) {
	t.Parallel()
	name := func(group, client string) string {
		return ledgerName(config.MQTTConnection{Name: "plant", SharedGroup: group, ClientID: client})
	}
	if name("", "a") != "plant" || name("g", "a") == name("g", "b") {
		t.Errorf("%q %q %q", name("", "a"), name("g", "a"), name("g", "b"))
	}
}

// TestResumeTakesOneSession: what the broker sends again in two sessions, one after the
// other, is not laid over the notes as one.
func TestResumeTakesOneSession(t *testing.T) {
	t.Parallel()
	h := newHandover(10, 1000)
	first, second := new(session), new(session)
	for _, s := range []*session{first, second} {
		h.force(delivery{Message: Message{Payload: []byte("x")}, session: s})
	}
	if got := h.takeMore(t.Context(), first, 10, time.Minute); len(got) != 1 || got[0].session != first {
		t.Fatalf("%d deliveries", len(got))
	}
	if got := h.takeMore(t.Context(), first, 10, time.Minute); got != nil {
		t.Errorf("of another session came %d", len(got))
	}
}

// TestOverlayOfALongPiece: of what a broker sends again the end may come later than it can
// be waited for.
func TestOverlayOfALongPiece(t *testing.T) {
	t.Parallel()
	const stored = "abcdefghijklmnopqrstuvwxyz"
	for again, want := range map[string]struct {
		known int
		rest  string
	}{
		"efghijkl": {8, "mnopqrstuvwxyz"},
		"efghijk":  {0, ""}, // too short to be certain
		"efghijkx": {0, ""},
		"stuvwxyz": {8, ""},
	} {
		known, rest, doubtful, undecided := ledgerOf(stored).overlay(contentsOf(again), false)
		var left []content
		for _, d := range rest {
			left = append(left, d.content)
		}
		if known != want.known || !slices.Equal(left, contentsOf(want.rest)) || doubtful || undecided {
			t.Errorf("%s: %d known, %d to come, doubtful %t, undecided %t", again, known, len(rest), doubtful, undecided)
		}
	}
	a := &Adapter{}
	_, a.expected, _, _ = ledgerOf(stored).overlay(contentsOf("efghijkl"), false)
	batch := make([]delivery, 4)
	for i, text := range []string{"m", "n", "x", "o"} {
		batch[i] = delivery{Message: Message{Payload: []byte(text)}, qos: 1, dup: true}
		if i < 2 {
			a.expected[i].content = batch[i].content()
		}
	}
	a.goOn(batch)
	for i, want := range []bool{true, true, false, false} {
		if batch[i].known != want {
			t.Errorf("message %d after the piece is known: %t", i, batch[i].known)
		}
	}
}

// TestOverlayOfAnything lets a broker send again what it was not told of, and more. Where
// all are different, each is known. A new message is taken for one that was stored only
// where the same content came once before, as the last.
func TestOverlayOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		letters := rapid.SampledFrom([]string{"a", "ab", "abcdefghijklmnopqrstuvwxyz"}).Draw(rt, "letters")
		message := rapid.SampledFrom([]rune(letters))
		all := rapid.SliceOfN(message, 0, 12).Draw(rt, "messages")
		stored := rapid.IntRange(0, len(all)).Draw(rt, "stored")
		told := rapid.IntRange(0, stored).Draw(rt, "told")     // what the broker knows
		asked := rapid.IntRange(told, stored).Draw(rt, "sure") // what it may know
		l := ledgerOf(string(all[:asked]) + "|" + string(all[asked:stored]))
		known, _, doubtful, undecided := l.overlay(contentsOf(string(all[told:])), false)
		different := len(slices.Compact(slices.Sorted(slices.Values(all)))) == len(all)
		switch {
		case undecided:
			rt.Fatal("undecided at the end")
		case different && known != stored-told:
			rt.Fatalf("%d known of %d", known, stored-told)
		case doubtful && known > stored-told:
			rt.Fatalf("doubtful, and %d known of %d", known, stored-told)
		case known > stored-told && !hasUnique(l.recent, known, known):
			rt.Fatalf("%d known of %d, though all were said more than once", known, stored-told)
		}
	})
}
