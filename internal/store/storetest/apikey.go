package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/mes"
)

func apiKey(prefix string) mes.APIKey {
	return mes.APIKey{
		ID: mes.NewID(), Name: "edge \"1\"", Prefix: prefix, Hash: [32]byte{1, 2, 255},
		Scopes: []mes.KeyScope{mes.ScopeDataRead, mes.ScopeDataWrite},
		Limit:  mes.Scope{Sites: []string{"s"}, Machines: []string{"m", "M"}}, CreatedAt: day,
	}
}

func testAPIKeys(t *testing.T, s Store) {
	a, b := apiKey("pg_a"), apiKey("pg_A")
	b.Limit, b.ExpiresAt = mes.Scope{}, day.Add(time.Hour)
	for _, k := range []mes.APIKey{a, b} {
		if err := s.CreateAPIKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CreateAPIKey(t.Context(), apiKey("pg_a")); mes.ErrorCode(err) != mes.CodeConflict {
		t.Errorf("a prefix was taken twice: %v", err)
	}
	list, err := s.APIKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]mes.APIKey{a, b}, list); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	for range 2 { // the second time changes nothing
		if err := s.RevokeAPIKey(t.Context(), a.ID, later(&a)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.APIKeyByPrefix(t.Context(), "pg_a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, got); diff != "" {
		t.Errorf("revoked key (-want +got):\n%s", diff)
	}
	if err := s.RevokeAPIKey(t.Context(), mes.NewID(), day); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("an unknown key was revoked: %v", err)
	}
	if _, err := s.APIKeyByPrefix(t.Context(), "pg"); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("an unknown prefix: %v", err)
	}
}

// later sets the key's end the first time, and returns another time after that.
func later(k *mes.APIKey) time.Time {
	if k.RevokedAt.IsZero() {
		k.RevokedAt = day.Add(time.Minute)
		return k.RevokedAt
	}
	return day.Add(time.Hour)
}

func testAPIKeyReplaced(t *testing.T, s Store) {
	old, next := apiKey("old"), apiKey("next")
	old.ExpiresAt = day.Add(48 * time.Hour)
	if err := s.CreateAPIKey(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if err := s.ReplaceAPIKey(t.Context(), mes.NewID(), day, next); mes.ErrorCode(err) != mes.CodeNotFound {
		t.Errorf("an unknown key was replaced: %v", err)
	}
	if err := s.ReplaceAPIKey(t.Context(), old.ID, day, apiKey("old")); mes.ErrorCode(err) != mes.CodeConflict {
		t.Errorf("a key was replaced by one whose prefix is taken: %v", err)
	}
	if got, err := s.APIKey(t.Context(), old.ID); err != nil || !got.ExpiresAt.Equal(old.ExpiresAt) {
		t.Errorf("a failed replacement ended the old key at %s, %v", got.ExpiresAt, err)
	}
	end := day.Add(time.Hour)
	if err := s.ReplaceAPIKey(t.Context(), old.ID, end, next); err != nil {
		t.Fatal(err)
	}
	if got, err := s.APIKey(t.Context(), old.ID); err != nil || !got.ExpiresAt.Equal(end) {
		t.Errorf("the old key ends at %s, %v", got.ExpiresAt, err)
	}
	if got, err := s.APIKey(t.Context(), next.ID); err != nil || !got.ExpiresAt.IsZero() {
		t.Errorf("the new key: %+v, %v", got, err)
	}
	if err := s.RevokeAPIKey(t.Context(), old.ID, day); err != nil {
		t.Fatal(err)
	}
	if err := s.ReplaceAPIKey(t.Context(), old.ID, day, apiKey("x")); mes.ErrorCode(err) != mes.CodeConflict {
		t.Errorf("a revoked key was replaced: %v", err)
	}
}
