package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/mes"
)

// memory is a Store that counts look-ups and can fail.
type memory struct {
	mu      sync.Mutex
	keys    map[mes.ID]mes.APIKey
	lookups int
	fail    error
}

func newMemory() *memory { return &memory{keys: make(map[mes.ID]mes.APIKey)} }

func (m *memory) CreateAPIKey(_ context.Context, key mes.APIKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[key.ID] = key
	return nil
}

func (m *memory) APIKeys(context.Context) (list []mes.APIKey, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.keys {
		list = append(list, k)
	}
	return list, nil
}

func (m *memory) APIKey(_ context.Context, id mes.ID) (mes.APIKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, ok := m.keys[id]; ok {
		return k, nil
	}
	return mes.APIKey{}, mes.Errorf(mes.CodeNotFound, "no such key")
}

func (m *memory) APIKeyByPrefix(_ context.Context, prefix string) (mes.APIKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookups++
	if m.fail != nil {
		return mes.APIKey{}, m.fail
	}
	for _, k := range m.keys {
		if k.Prefix == prefix {
			return k, nil
		}
	}
	return mes.APIKey{}, mes.Errorf(mes.CodeNotFound, "no such key")
}

func (m *memory) RevokeAPIKey(_ context.Context, id mes.ID, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.keys[id]
	if !ok {
		return mes.Errorf(mes.CodeNotFound, "no such key")
	}
	k.RevokedAt = at
	m.keys[id] = k
	return nil
}

func (m *memory) ReplaceAPIKey(_ context.Context, old mes.ID, oldExpires time.Time, key mes.APIKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.keys[old]
	k.ExpiresAt = oldExpires
	m.keys[old] = k
	m.keys[key.ID] = key
	return nil
}

type fixture struct {
	store *memory
	now   time.Time
	svc   *Service
}

const bootstrapText = "an old script's key"

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{store: newMemory(), now: time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)}
	svc, err := New(f.store, Options{BootstrapKey: bootstrapText, Clock: func() time.Time { return f.now }})
	if err != nil {
		t.Fatal(err)
	}
	f.svc = svc
	return f
}

func (f *fixture) create(t *testing.T, n NewKey) (mes.APIKey, string) {
	t.Helper()
	if n.Name == "" {
		n.Name = "edge"
	}
	if n.Scopes == nil {
		n.Scopes = []mes.KeyScope{mes.ScopeDataWrite}
	}
	key, text, err := f.svc.Create(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return key, text
}

func (f *fixture) code(t *testing.T, text string) mes.Code {
	t.Helper()
	_, err := f.svc.Authenticate(t.Context(), text)
	return mes.ErrorCode(err)
}

func TestKeyFormat(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key, text := f.create(t, NewKey{})
	if !regexp.MustCompile(`^pg_[a-z2-7]{8}_[a-z2-7]{32}$`).MatchString(text) {
		t.Errorf("key %q", text)
	}
	if !strings.HasPrefix(text, "pg_"+key.Prefix+"_") {
		t.Errorf("prefix %q of %q", key.Prefix, text)
	}
	if _, other := f.create(t, NewKey{}); other == text {
		t.Error("two keys are the same")
	}
	stored := f.store.keys[key.ID]
	if dump := fmt.Sprintf("%v", stored); strings.Contains(dump, text[12:]) {
		t.Error("the store holds the secret")
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key, text := f.create(t, NewKey{ExpiresAt: f.now.Add(time.Hour)})
	got, err := f.svc.Authenticate(t.Context(), text)
	if err != nil || got.ID != key.ID {
		t.Fatalf("%v, %v", got, err)
	}
	last := text[len(text)-1]
	other := byte('a')
	if last == other {
		other = 'b'
	}
	for name, wrong := range map[string]string{
		"empty":         "",
		"short":         "pg_",
		"other secret":  text[:len(text)-1] + string(other),
		"other prefix":  "pg_aaaaaaaa" + text[11:],
		"a space after": text + " ",
		"upper case":    strings.ToUpper(text),
		"only prefix":   "pg_" + key.Prefix + "_",
		"huge":          strings.Repeat("k", 1<<20),
	} {
		if code := f.code(t, wrong); code != mes.CodeUnauthenticated {
			t.Errorf("%s: %q", name, code)
		}
	}
	f.now = f.now.Add(time.Hour)
	if code := f.code(t, text); code != mes.CodeUnauthenticated {
		t.Errorf("expired: %q", code)
	}
}

// A key that expires is refused at once, even while it is remembered.
func TestExpiryHoldsForRememberedKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, text := f.create(t, NewKey{ExpiresAt: f.now.Add(time.Second)})
	if code := f.code(t, text); code != "" {
		t.Fatalf("valid: %q", code)
	}
	f.now = f.now.Add(time.Second)
	if code := f.code(t, text); code != mes.CodeUnauthenticated {
		t.Errorf("expired: %q", code)
	}
}

func TestRevocationByAnotherProcessIsSeenInTwoSeconds(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key, text := f.create(t, NewKey{})
	if code := f.code(t, text); code != "" {
		t.Fatal(code)
	}
	if err := f.store.RevokeAPIKey(t.Context(), key.ID, f.now); err != nil {
		t.Fatal(err)
	}
	f.now = f.now.Add(2 * time.Second)
	if code := f.code(t, text); code != mes.CodeUnauthenticated {
		t.Errorf("after 2 s: %q", code)
	}
}

func TestOwnRevocationHoldsAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key, text := f.create(t, NewKey{})
	if code := f.code(t, text); code != "" {
		t.Fatal(code)
	}
	if err := f.svc.Revoke(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	if code := f.code(t, text); code != mes.CodeUnauthenticated {
		t.Errorf("revoked: %q", code)
	}
}

func TestAnswersAreRememberedButBounded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, text := f.create(t, NewKey{})
	wrong := "pg_aaaaaaaa_" + strings.Repeat("a", 32)
	for range 5 {
		f.code(t, text)
		f.code(t, wrong)
	}
	if f.store.lookups != 2 {
		t.Errorf("%d look-ups, want one of each key", f.store.lookups)
	}
	for i := range 2 * cacheSize {
		f.code(t, fmt.Sprintf("pg_aaaaaaaa_%032d", i))
	}
	if n := len(f.svc.cache.refused); n > cacheSize {
		t.Errorf("%d refusals are remembered", n)
	}
	before := f.store.lookups
	f.code(t, text)
	if f.store.lookups != before {
		t.Error("wrong keys pushed out a right one")
	}
}

func TestFailureOfTheStoreIsNotRefusal(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, text := f.create(t, NewKey{})
	f.store.fail = mes.Wrap(mes.CodeUnavailable, errors.New("disk"), "the store is away")
	if code := f.code(t, text); code != mes.CodeUnavailable {
		t.Errorf("code %q", code)
	}
	f.store.fail = nil
	if code := f.code(t, text); code != "" {
		t.Errorf("the failure was remembered: %q", code)
	}
}

func TestBootstrapKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key, err := f.svc.Authenticate(t.Context(), bootstrapText)
	if err != nil {
		t.Fatal(err)
	}
	for _, scope := range mes.KeyScopes() {
		if !key.Has(scope) {
			t.Errorf("lacks %s", scope)
		}
	}
	if key.ID.IsZero() || len(f.store.keys) != 0 || bytes.Contains(fmt.Appendf(nil, "%+v", f.svc), []byte(bootstrapText)) {
		t.Error("the bootstrap key is stored, has no id, or is kept in the clear")
	}
	if _, err := New(f.store, Options{BootstrapKey: "fifteen letters"}); err == nil {
		t.Error("a short bootstrap key was accepted")
	}
	without, err := New(f.store, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := without.Authenticate(t.Context(), ""); mes.ErrorCode(err) != mes.CodeUnauthenticated {
		t.Error("no bootstrap key accepts an empty key")
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	f := setup(t)
	limit := mes.Scope{Sites: []string{"pune"}}
	old, oldText := f.create(t, NewKey{Name: "erp", Limit: limit})
	key, text, err := f.svc.Rotate(t.Context(), old.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if key.Name != "erp" || !key.Has(mes.ScopeDataWrite) || !key.Limit.Allows("pune", "M1") || key.Limit.Allows("ulm", "M1") {
		t.Errorf("rotated key %+v", key)
	}
	if f.code(t, oldText) != "" || f.code(t, text) != "" {
		t.Error("both keys are valid during the overlap")
	}
	f.now = f.now.Add(time.Hour)
	if f.code(t, oldText) != mes.CodeUnauthenticated || f.code(t, text) != "" {
		t.Error("only the new key is valid after the overlap")
	}
	if _, _, err := f.svc.Rotate(t.Context(), old.ID, 0); mes.ErrorCode(err) != mes.CodeConflict {
		t.Errorf("rotating an ended key: %v", err)
	}
	if _, _, err := f.svc.Rotate(t.Context(), mes.NewID(), 0); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("rotating no key: %v", err)
	}
}

func TestCreateNamesEveryFault(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, _, err := f.svc.Create(t.Context(), NewKey{
		Name: "a\nb", Scopes: []mes.KeyScope{"data:all"},
		Limit:     mes.Scope{Sites: []string{"a~b"}, Machines: []string{"M1", ""}},
		ExpiresAt: f.now.Add(-time.Second),
	})
	var fault *mes.Error
	if !errors.As(err, &fault) || fault.Code != mes.CodeInvalid {
		t.Fatalf("%v", err)
	}
	got := make(map[string]bool)
	for _, field := range fault.Fields {
		got[field.Pointer] = true
	}
	for _, pointer := range []string{"/name", "/scopes/0", "/sites/0", "/machines/1", "/expires_at"} {
		if !got[pointer] {
			t.Errorf("%s is not named in %v", pointer, fault.Fields)
		}
	}
	if _, _, err := f.svc.Create(t.Context(), NewKey{Name: "x"}); mes.ErrorCode(err) != mes.CodeInvalid {
		t.Errorf("without scopes: %v", err)
	}
	_, _, err = f.svc.Create(t.Context(), NewKey{Name: "x", Scopes: []mes.KeyScope{mes.ScopeDataRead}, Limit: mes.Scope{Machines: []string{"M1"}}})
	if !errors.As(err, &fault) || fault.Fields[0].Pointer != "/sites" {
		t.Errorf("machines without their sites: %v", err)
	}
}
