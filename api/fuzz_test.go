package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"plantgate/internal/mes"
)

// Whatever a caller sends as a cursor, it is refused or is one of ours.
func FuzzCursor(f *testing.F) {
	q := &query{path: "/data", values: url.Values{"machine_id": {"M1"}}}
	sequence := int64(7)
	text, err := encodeCursor(q, recordPosition{ID: mes.NewID(), Sequence: &sequence})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("")
	f.Add("eyJmIjoiIiwicCI6e319")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"f":"AA","p":{"t":"x","i":"y"},"z":1}`)))
	f.Fuzz(func(t *testing.T, text string) {
		q := &query{path: "/data", values: url.Values{"machine_id": {"M1"}, "cursor": {text}}}
		position := cursorOf[recordPosition](q)
		if position == nil {
			if len(q.faults) == 0 && text != "" {
				t.Errorf("%q is neither taken nor refused", text)
			}
			return
		}
		if _, err := encodeCursor(q, *position); err != nil {
			t.Errorf("%q gives a position that can't be sent back: %v", text, err)
		}
	})
}

// What the strict decoder takes, every decoder takes, with no member lost.
func FuzzDecodeStrict(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"payload":{"a":1},"machine_id":"M1","site_id":"s","format":"auto"}`, `{"payload":"x"}`, `{"machine_id":1}`,
		`{"machine_id":"a","machine_id":"b"}`, `{"x":1}`, `[]`, `null`, "", "{\"machine_id\":\"\xff\"}", `{"payload":[[[[]]]]}`, `{} {}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var request replayRequest
		err := decodeStrict(body, &request)
		if err != nil {
			if code := mes.ErrorCode(err); code != mes.CodeMalformed && code != mes.CodeInvalid {
				t.Errorf("%q: code %s", body, code)
			}
			if !utf8.ValidString(err.Error()) && utf8.Valid(body) {
				t.Errorf("%q: message %q", body, err)
			}
			return
		}
		if !json.Valid(body) || !utf8.Valid(body) {
			t.Errorf("took %q", body)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil && strings.TrimSpace(string(body)) != "null" {
			t.Errorf("took %q: %v", body, err)
		}
		for name := range members {
			switch name {
			case "payload", "machine_id", "site_id", "format":
			default:
				t.Errorf("took the member %q", name)
			}
		}
	})
}

// A request id that is taken can stand in a header and in a line of the log.
func FuzzRequestID(f *testing.F) {
	for _, seed := range []string{"erp-4711", "", "a b", "a\nb", "a\x00", "ü", strings.Repeat("x", 129)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if !isRequestID(id) {
			return
		}
		if id == "" || len(id) > maxRequestID {
			t.Errorf("took %q", id)
		}
		for _, b := range []byte(id) {
			if b <= ' ' || b >= 0x7f {
				t.Errorf("took %q", id)
			}
		}
	})
}

// Every code of the domain has its answer.
func TestEveryCodeHasAStatus(t *testing.T) {
	t.Parallel()
	for code, status := range map[mes.Code]int{
		mes.CodeMalformed: 400, mes.CodeUnauthenticated: 401, mes.CodeForbidden: 403, mes.CodeNotFound: 404,
		mes.CodeConflict: 409, mes.CodePrecondition: 412, mes.CodeTooLarge: 413, mes.CodeUnsupported: 415,
		mes.CodeInvalid: 422, mes.CodeRateLimited: 429, mes.CodeInternal: 500, mes.CodeUnavailable: 503, "made up": 500,
	} {
		if got := statusOf(code); got != status {
			t.Errorf("%s: %d, want %d", code, got, status)
		}
		doc := problemOf(mes.Errorf(code, "x"))
		if doc.Status != status || doc.Title == "" || http.StatusText(doc.Status) == "" {
			t.Errorf("%s: %+v", code, doc)
		}
	}
}

// Bodies that wait for their commit fill the budget; what is given back can be
// taken again. Small bodies find room all the same.
func TestBodiesInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	const large = freeBody + 80
	b := &budget{limit: 100}
	take := func() *allowance { return &allowance{budget: b, limit: large} }
	first, second, small := take(), take(), take()
	if body, err := first.read(strings.NewReader(strings.Repeat("x", large)), -1); err != nil || len(body) != large {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	if _, err := second.read(strings.NewReader(strings.Repeat("x", large)), -1); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("over the budget: %v", err)
	}
	if _, err := small.read(strings.NewReader(strings.Repeat("x", freeBody/8)), -1); err != nil {
		t.Errorf("a small body while the budget is full: %v", err)
	}
	small.giveBack()
	second.giveBack()
	first.giveBack()
	third := take()
	if _, err := third.read(strings.NewReader(strings.Repeat("x", large)), -1); err != nil {
		t.Errorf("after it was given back: %v", err)
	}
	third.giveBack()
	fourth := take()
	for _, expected := range []int64{large, large - 1, large + 1, 0, 1} { // what was said may be wrong
		if body, err := fourth.read(strings.NewReader(strings.Repeat("x", large)), expected); err != nil || len(body) != large {
			t.Errorf("expected %d: %d bytes, %v", expected, len(body), err)
		}
		fourth.giveBack()
		fourth = take()
	}
	if used := b.used.Load(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}
