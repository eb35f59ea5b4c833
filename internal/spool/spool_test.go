package spool_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

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

// TestALookUpEndsWhenTheDatabaseIsAway: whoever waits for a silent database to say
// something of a key goes on with what was known once another finds that it is away.
func TestALookUpEndsWhenTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	known, err := spool.OpenKnown(filepath.Join(t.TempDir(), "known.json"))
	if err != nil {
		t.Fatal(err)
	}
	db := &keyed{key: mes.APIKey{ID: mes.NewID(), Prefix: "pg_1", Hash: [32]byte{1}}}
	s := spool.New(db, nil, spool.Options{Known: known})
	if _, err := s.APIKeyByPrefix(t.Context(), "pg_1"); err != nil {
		t.Fatal(err)
	}
	db.asked = make(chan struct{}, 1)
	found := make(chan error, 1)
	go func() {
		key, err := s.APIKeyByPrefix(t.Context(), "pg_1")
		if err == nil && key.Hash != db.key.Hash {
			err = errors.New("another key")
		}
		found <- err
	}()
	<-db.asked
	if _, err := s.KnowsEquipment(t.Context(), "s", "m"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-found:
		t.Fatalf("answered while the database may still say something: %v", err)
	default:
	}
	db.away.Store(true)
	if _, err := s.KnowsEquipment(t.Context(), "s", "m"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-found:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("still waits for a database that is away")
	}
}

// keyed is a database with one key and one machine.
type keyed struct {
	spool.Database
	key  mes.APIKey
	err  error
	away atomic.Bool
	// asked, if there is one, gets a token when a key is looked up, to which no answer
	// comes.
	asked chan struct{}
}

func (k *keyed) APIKeyByPrefix(ctx context.Context, prefix string) (mes.APIKey, error) {
	if k.asked != nil {
		k.asked <- struct{}{}
		<-ctx.Done()
		return mes.APIKey{}, mes.Wrap(mes.CodeUnavailable, ctx.Err(), "cut short")
	}
	if k.err == nil && prefix != k.key.Prefix {
		return mes.APIKey{}, mes.Errorf(mes.CodeNotFound, "no such key")
	}
	return k.key, k.err
}

func (k *keyed) KnowsEquipment(_ context.Context, _, id string) (bool, error) {
	if k.away.Load() {
		return false, errAway
	}
	return id == "m", k.err
}
