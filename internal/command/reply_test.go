package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"plantgate/internal/command"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

const id = "019aab1c-7d20-7c11-9e02-3f5a6b7c8d9e"

func TestParseReply(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"command_id":"` + id + `","status":"completed"}`:                                 "",
		`{"command_id":"` + id + `","status":"rejected","message":"no","data":[1],"x":{}}`: "",
		`{"command_id":"` + id + `","status":"sent"}`:                                      "/status",
		`{"command_id":"` + id + `","status":"Completed"}`:                                 "/status",
		`{"status":"failed"}`:                                   "/command_id",
		`{"command_id":"4711"}`:                                 "/command_id /status",
		`{"command_id":4711,"status":"failed"}`:                 "reply is a JSON object",
		`{"command_id":"` + id + `","command_id":"` + id + `"}`: "reply is a JSON object",
		`null`: "/command_id",
		`[]`:   "reply is a JSON object",
		``:     "reply is a JSON object",
		"{\"command_id\":\"" + id + "\",\"status\":\"failed\",\"message\":\"\xff\"}":                                           "reply is a JSON object",
		`{"command_id":"` + id + `","status":"failed","message":"` + strings.Repeat("x", 5000) + `"}`:                          "/message",
		`{"command_id":"` + id + `","status":"failed","data":"` + strings.Repeat("x", 256<<10) + `"}`:                          "/data",
		`{"command_id":"` + id + `","status":"failed","data":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`: "reply is a JSON object",
		`{"command_id":"` + id + `","status":"failed","data":` + strings.Repeat("[", 33) + strings.Repeat("]", 33) + `}`:       "/data: is nested deeper than 32 levels",
		`{"command_id":"` + id + `","status":"failed","data":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`:       "",
	} {
		_, fault := command.ParseReply([]byte(body))
		if want == "" {
			if fault != nil {
				t.Errorf("%.60s: %v", body, fault)
			}
			continue
		}
		if fault == nil {
			t.Errorf("%.60s was taken", body)
			continue
		}
		for part := range strings.SplitSeq(want, " /") {
			if !strings.Contains(fault.Error(), strings.TrimPrefix(part, "/")) {
				t.Errorf("%.60s: %v, want %s", body, fault, want)
			}
		}
	}
	reply, fault := command.ParseReply([]byte(`{"command_id":"` + id + `","status":"failed","message":"m","data":null}`))
	if fault != nil || reply.CommandID.String() != id || reply.Status != mes.CommandFailed || reply.Message != "m" || reply.Data != nil {
		t.Errorf("%+v, %v", reply, fault)
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add([]byte(`{"command_id":"` + id + `","status":"completed","message":"\u0000","data":{"x":[1.50,null]}}`))
	f.Add([]byte(`{"command_id":"","status":"sent"}`))
	f.Add([]byte("\xef\xbb\xbf[]"))
	f.Fuzz(func(t *testing.T, body []byte) {
		reply, fault := command.ParseReply(body)
		if fault != nil {
			if fault.Code != mes.CodeMalformed && fault.Code != mes.CodeInvalid {
				t.Errorf("code %s", fault.Code)
			}
			return
		}
		if reply.CommandID.IsZero() && !strings.Contains(string(body), "00000000-0000-0000") || !slices.Contains(mes.ReplyStates(), reply.Status) {
			t.Errorf("%q became %+v", body, reply)
		}
		if reply.Data != nil && !json.Valid(reply.Data) {
			t.Errorf("data %q", reply.Data)
		}
	})
}

// fakeStore answers replies as it is told.
type fakeStore struct {
	command.Store
	outcome command.ReplyOutcome
	err     error
	replies []mes.CommandReply
}

func (s *fakeStore) ReplyToCommands(_ context.Context, list []mes.CommandReply) ([]command.ReplyOutcome, error) {
	if s.err != nil {
		return nil, s.err
	}
	s.replies = append(s.replies, list...)
	return slices.Repeat([]command.ReplyOutcome{s.outcome}, len(list)), nil
}

// next keeps what it gets.
type next struct {
	got []mes.Record
	err error
}

func (n *next) Ingest(_ context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	if n.err != nil {
		return nil, n.err
	}
	n.got = append(n.got, batch...)
	receipts := make([]mes.Receipt, len(batch))
	for i := range batch {
		receipts[i] = mes.Receipt{Status: mes.ReceiptCreated}
		if batch[i].Fault != nil {
			receipts[i] = mes.Receipt{Status: mes.ReceiptQuarantined, Fault: batch[i].Fault}
		}
	}
	return receipts, nil
}

// mixed is machine data, a reply, one that can't be read, and data again.
func mixed(t *testing.T) []mes.Record {
	t.Helper()
	sites, err := ingest.NewSites("main", map[string]string{"main": "UTC"})
	if err != nil {
		t.Fatal(err)
	}
	decoder := ingest.NewDecoder(ingest.Limits{MaxRecord: 1 << 20, MaxBatch: 100, MaxDepth: 32}, sites)
	var batch []mes.Record
	for _, m := range []struct {
		format ingest.Format
		body   string
	}{
		{ingest.FormatFlat, `{"x":1}`}, {ingest.FormatReply, `{"command_id":"` + id + `","status":"completed"}`},
		{ingest.FormatReply, `[{"x":1},{"x":2}]`}, {ingest.FormatFlat, `{"x":2}`},
	} {
		src := ingest.Source{Origin: mes.Origin{Door: mes.DoorMQTT, Format: string(m.format)}, MachineID: "M1", ReceivedAt: time.Now()}
		batch = append(batch, decoder.Decode(src, []byte(m.body))...)
	}
	if len(batch) != 4 {
		t.Fatalf("%d records", len(batch))
	}
	return batch
}

func TestRepliesAmongData(t *testing.T) {
	t.Parallel()
	for outcome, want := range map[command.ReplyOutcome][]mes.ReceiptStatus{
		command.ReplyTaken:   {"created", "created", "quarantined", "created"},
		command.ReplyLate:    {"created", "duplicate", "quarantined", "created"},
		command.ReplyUnknown: {"created", "quarantined", "quarantined", "created"},
		command.ReplyForeign: {"created", "quarantined", "quarantined", "created"},

		command.ReplyOtherSite: {"created", "quarantined", "quarantined", "created"},
	} {
		store, to := &fakeStore{outcome: outcome}, &next{}
		receipts, err := command.New(store, nil, nil).Replies(to).Ingest(t.Context(), mixed(t))
		if err != nil {
			t.Fatal(err)
		}
		var got []mes.ReceiptStatus
		for _, r := range receipts {
			got = append(got, r.Status)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: receipts %v, want %v", outcome, got, want)
		}
		if len(store.replies) != 1 || store.replies[0].MachineID != "M1" || store.replies[0].ReceivedAt.IsZero() {
			t.Errorf("replies %+v", store.replies)
		}
		for _, r := range to.got {
			if ingest.IsReply(r) {
				t.Errorf("%s: a reply was passed on as it came", outcome)
			}
			if outcome == command.ReplyOtherSite && r.Fault != nil && r.Fault.Code == mes.CodeConflict && !strings.Contains(r.Fault.Message, "another site") {
				t.Errorf("the fault does not name the site: %s", r.Fault.Message)
			}
		}
	}
}

// TestRepliesAreNotAcknowledgedUnstored: without both commits there is no success, and
// the same batch again does it.
func TestRepliesAreNotAcknowledgedUnstored(t *testing.T) {
	t.Parallel()
	away := mes.Errorf(mes.CodeUnavailable, "away")
	store, to := &fakeStore{outcome: command.ReplyTaken, err: away}, &next{}
	service, batch := command.New(store, nil, nil), mixed(t)
	if _, err := service.Replies(to).Ingest(t.Context(), batch); !errors.Is(err, away) || len(to.got) != 0 {
		t.Errorf("with the store away: %v, %d passed on", err, len(to.got))
	}
	store.err, to.err = nil, away
	if _, err := service.Replies(to).Ingest(t.Context(), batch); !errors.Is(err, away) {
		t.Errorf("with the next away: %v", err)
	}
	to.err = nil
	receipts, err := service.Replies(to).Ingest(t.Context(), batch)
	if err != nil || len(receipts) != 4 || len(to.got) != 3 {
		t.Errorf("again: %v, %+v, %d passed on", err, receipts, len(to.got))
	}
}
