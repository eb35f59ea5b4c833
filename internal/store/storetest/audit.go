package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/mes"
)

// AuditStore is the part of the contract that is about what people did to the floor.
type AuditStore interface {
	BeginAudit(ctx context.Context, e mes.AuditEntry, key *mes.Idempotency) (mes.ID, error)
	FinishAudit(ctx context.Context, id mes.ID, state mes.AuditState, at time.Time, detail string, result []byte) error
	AuditEntry(ctx context.Context, id mes.ID) (mes.AuditEntry, error)
	AuditEntries(ctx context.Context, f mes.AuditFilter) ([]mes.AuditEntry, error)
	MadeByRequest(ctx context.Context, key mes.Idempotency, now time.Time) (mes.ID, error)
}

func auditOf(connection string, second int) mes.AuditEntry {
	at := day.Add(time.Duration(second) * time.Second)
	return mes.AuditEntry{
		ID: mes.NewID(), Action: mes.AuditOPCUAWrite, Connection: connection, State: mes.AuditPending,
		CreatedAt: at, CreatedBy: "key", Reason: "too hot \x00 é", Request: []byte(`{"items":[{"node":"ns=1;s=é","value":1.50}]}`),
	}
}

// testAudit: an entry is there before the action, takes one result, and is found again by
// filters and by the request that made it.
func testAudit(t *testing.T, all Store) {
	s := all.(AuditStore)
	key := &mes.Idempotency{Key: "key/write-1", Body: [32]byte{1}}
	a := auditOf("press", 0)
	begin := func(e mes.AuditEntry, key *mes.Idempotency) mes.ID {
		t.Helper()
		id, err := s.BeginAudit(t.Context(), e, key)
		if err != nil {
			t.Fatal(mes.WithCauses(err))
		}
		return id
	}
	want := func(e mes.AuditEntry) {
		t.Helper()
		got, err := s.AuditEntry(t.Context(), e.ID)
		if diff := cmp.Diff(e, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	if id := begin(a, key); id != a.ID {
		t.Errorf("began %s, want %s", id, a.ID)
	}
	want(a)
	if id := begin(auditOf("press", 1), key); id != a.ID {
		t.Errorf("the same request began %s, want %s", id, a.ID)
	}
	if _, err := s.BeginAudit(t.Context(), auditOf("press", 1), &mes.Idempotency{Key: key.Key, Body: [32]byte{2}}); !errors.Is(err, mes.ErrKeyReused) {
		t.Errorf("another request with the key: %v", err)
	}
	if id, err := s.MadeByRequest(t.Context(), *key, a.CreatedAt); err != nil || id != a.ID {
		t.Errorf("the request made %s, %v", id, err)
	}
	finish := func(state mes.AuditState, result string) {
		t.Helper()
		if err := s.FinishAudit(t.Context(), a.ID, state, day.Add(time.Minute), "some \x00", []byte(result)); err != nil {
			t.Fatal(mes.WithCauses(err))
		}
	}
	finish(mes.AuditPartial, `{"items":[1.50]}`)
	a.State, a.FinishedAt, a.Detail, a.Result = mes.AuditPartial, day.Add(time.Minute), "some \x00", []byte(`{"items":[1.50]}`)
	want(a)
	finish(mes.AuditDone, `{}`)
	want(a)

	refused := auditOf("oven", 2)
	refused.Action, refused.State, refused.FinishedAt, refused.Request, refused.Reason = mes.AuditOPCUACall, mes.AuditRefused, refused.CreatedAt, nil, ""
	begin(refused, nil)
	want(refused)
	for _, c := range []struct {
		filter mes.AuditFilter
		want   []mes.AuditEntry
	}{
		{mes.AuditFilter{}, []mes.AuditEntry{refused, a}},
		{mes.AuditFilter{Limit: 1}, []mes.AuditEntry{refused}},
		{mes.AuditFilter{Before: refused.ID}, []mes.AuditEntry{a}},
		{mes.AuditFilter{Action: mes.AuditOPCUAWrite}, []mes.AuditEntry{a}},
		{mes.AuditFilter{Connection: "oven", CreatedBy: "key"}, []mes.AuditEntry{refused}},
		{mes.AuditFilter{State: mes.AuditRefused, CreatedBy: "other"}, []mes.AuditEntry{}},
	} {
		if c.filter.Limit == 0 {
			c.filter.Limit = 10
		}
		got, err := s.AuditEntries(t.Context(), c.filter)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%+v: %v (-want +got):\n%s", c.filter, err, diff)
		}
	}
	if _, err := s.AuditEntry(t.Context(), mes.NewID()); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("an entry that is not there: %v", err)
	}
}
