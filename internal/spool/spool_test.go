package spool_test

import (
	"context"
	"path/filepath"
	"testing"

	"plantgate/internal/mes"
	"plantgate/internal/spool"
)

var errAway = mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "the database can't be reached")

// TestKnownWithoutTheDatabase: keys and equipment that were used before are known after
// a start without the database, and what the database says counts again afterwards.
func TestKnownWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "known.json")
	known, err := spool.OpenKnown(path)
	if err != nil {
		t.Fatal(err)
	}
	db := &keyed{key: mes.APIKey{ID: mes.NewID(), Prefix: "pg_1", Hash: [32]byte{1}, Scopes: []mes.KeyScope{mes.ScopeAdmin}}}
	s := spool.New(db, nil, spool.Options{Known: known})
	if _, err := s.APIKeyByPrefix(t.Context(), "pg_1"); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.KnowsEquipment(t.Context(), "s", "m"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := known.Write(); err != nil {
		t.Fatal(err)
	}
	if known, err = spool.OpenKnown(path); err != nil {
		t.Fatal(err)
	}
	db.err = errAway
	s = spool.New(db, nil, spool.Options{Known: known})
	if key, err := s.APIKeyByPrefix(t.Context(), "pg_1"); err != nil || key.Hash != db.key.Hash || !key.Has(mes.ScopeAdmin) {
		t.Errorf("a key of before: %+v, %v", key, err)
	}
	if _, err := s.APIKeyByPrefix(t.Context(), "pg_2"); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("a key that was never used: %v", err)
	}
	if ok, err := s.KnowsEquipment(t.Context(), "s", "m"); !ok || err != nil {
		t.Errorf("equipment of before: %t, %v", ok, err)
	}
	if ok, err := s.KnowsEquipment(t.Context(), "s", "x"); ok || err != nil {
		t.Errorf("other equipment: %t, %v", ok, err)
	}
}

// keyed is a database with one key and one machine.
type keyed struct {
	spool.Database
	key mes.APIKey
	err error
}

func (k *keyed) APIKeyByPrefix(_ context.Context, prefix string) (mes.APIKey, error) {
	if k.err == nil && prefix != k.key.Prefix {
		return mes.APIKey{}, mes.Errorf(mes.CodeNotFound, "no such key")
	}
	return k.key, k.err
}

func (k *keyed) KnowsEquipment(_ context.Context, _, id string) (bool, error) {
	return id == "m", k.err
}
