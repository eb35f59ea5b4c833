package mes_test

import (
	"strings"
	"testing"
	"time"

	"plantgate/internal/mes"
)

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	r := mes.Record{
		MachineID: "a/b", SiteID: "", DataType: "Telemetri", Status: "Broken", MessageID: strings.Repeat("x", 257),
		Signals: []mes.Signal{{Name: ""}, {Name: "tab\t"}, {Name: "u", Unit: strings.Repeat("m", 65)}},
	}
	fault := r.Validate()
	if fault == nil || fault.Code != mes.CodeInvalid {
		t.Fatalf("got %v", fault)
	}
	text := fault.Error()
	for _, pointer := range []string{"/machine_id", "/site_id", "/data_type", "/status", "/message_id", "/tab\t", "/u"} {
		if !strings.Contains(text, pointer+": ") {
			t.Errorf("%s is not named in %s", pointer, text)
		}
	}
}

func TestAMachineIsNotItsSite(t *testing.T) {
	t.Parallel()
	r := contract1(t)
	r.MachineID = r.SiteID
	if fault := r.Validate(); fault == nil || !strings.Contains(fault.Error(), "/machine_id") {
		t.Errorf("got %v", fault)
	}
}

func TestCheckID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"M001", "Prüfstand 7", "機械", "a.b-c_d:e", "'; DROP TABLE record; --", "..", strings.Repeat("x", 128)} {
		if err := mes.CheckID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", " a", "a ", "a~b", "a/b", "a\x00", "a\nb", "\xff", strings.Repeat("x", 129), "a\u202eb"} {
		if mes.CheckID(id) == nil {
			t.Errorf("%q was accepted", id)
		}
	}
}

func TestPointer(t *testing.T) {
	t.Parallel()
	for member, want := range map[string]string{"": "/", "x": "/x", "a/b": "/a~1b", "~": "/~0", "~1/": "/~01~1"} {
		if got := mes.Pointer(member); got != want {
			t.Errorf("%q: %q, want %q", member, got, want)
		}
	}
}

func TestPositionsAreTotallyOrdered(t *testing.T) {
	t.Parallel()
	at := time.Unix(1, 0)
	one, two := int64(1), int64(2)
	ordered := []mes.Position{
		{Time: at}, {Time: at, ID: mes.ID{1}}, {Time: at, Sequence: &one}, {Time: at, Sequence: &two},
		{Time: at, Sequence: &two, ID: mes.ID{1}}, {Time: at.Add(1)},
	}
	for i, p := range ordered {
		for j, q := range ordered {
			if got := p.Compare(q); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("position %d against %d: %d", i, j, got)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	now := time.Now()
	key := mes.APIKey{Scopes: []mes.KeyScope{mes.ScopeDataRead}, ExpiresAt: now.Add(time.Second)}
	if !key.Has(mes.ScopeDataRead) || key.Has(mes.ScopeDataWrite) {
		t.Error("scopes are not told apart")
	}
	if !key.Valid(now) || key.Valid(now.Add(time.Second)) {
		t.Error("expiry is not kept")
	}
	key.RevokedAt = now
	if key.Valid(now) {
		t.Error("a revoked key is valid")
	}
	if admin := (mes.APIKey{Scopes: []mes.KeyScope{mes.ScopeAdmin}}); !admin.Has(mes.ScopeDataWrite) {
		t.Error("admin lacks a scope")
	}
}

func TestDerivedIDLeadsWithTheTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 11, 3, 6, 45, 23, 0, time.UTC)
	id := mes.DerivedID(at, "row 1")
	if id != mes.DerivedID(at, "row 1") || id == mes.DerivedID(at, "row 2") || id == mes.DerivedID(at.Add(time.Second), "row 1") {
		t.Error("an id is not of its time and name")
	}
	if first := mes.DerivedID(time.Time{}, "row 3"); first.String()[:13] != "00000000-0000" || id.String() < first.String() {
		t.Errorf("%s, without a time %s", id, first)
	}
}
