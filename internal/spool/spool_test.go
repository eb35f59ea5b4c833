package spool_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/spool"
	"plantgate/internal/wal"
)

var errAway = mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "the database can't be reached")

// TestKnownWithoutTheDatabase: keys and equipment that were used before are known after
// a start without the database, and what the database says counts again afterwards.
func TestKnownWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "known.json")
	known, err := spool.OpenKnown(path, slog.New(slog.DiscardHandler))
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
	if known, err = spool.OpenKnown(path, slog.New(slog.DiscardHandler)); err != nil {
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
	known, err := spool.OpenKnown(filepath.Join(t.TempDir(), "known.json"), slog.New(slog.DiscardHandler))
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

// TestALookUpIsOneGoroutine: nothing is left behind that nobody waits for, even while a
// look-up waits.
func TestALookUpIsOneGoroutine(t *testing.T) {
	t.Parallel()
	known, err := spool.OpenKnown(filepath.Join(t.TempDir(), "known.json"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	db := &keyed{asked: make(chan struct{}, 1)}
	s := spool.New(db, nil, spool.Options{Known: known})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = s.APIKeyByPrefix(ctx, "pg_1")
	}()
	<-db.asked
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	cancel()
	<-ended
	if bytes.Contains(stacks, []byte("whileThere.func")) {
		t.Errorf("a look-up has a goroutine of its own:\n%s", stacks)
	}
}

// TestADatabaseThatOnlyAnswersIsLeftAlone: one that says that it is there and then takes
// nothing is tried less and less often, so that what comes in is not held up by it.
func TestADatabaseThatOnlyAnswersIsLeftAlone(t *testing.T) {
	t.Parallel()
	known, err := spool.OpenKnown(filepath.Join(t.TempDir(), "known.json"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	db := &keyed{}
	db.away.Store(true)
	log, err := wal.Open(filepath.Join(t.TempDir(), "log"), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	start, err := journal.Start(log)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), log, spool.Blind{}, start, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := spool.New(db, j, spool.Options{Known: known, Every: 5 * time.Millisecond, LongestRest: 200 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	defer running.Wait()
	defer cancel()
	tries, longest := 0, time.Duration(0)
	last := time.Now()
	for began := last; time.Since(began) < 2*time.Second; time.Sleep(time.Millisecond) {
		if s.AwaySince().IsZero() {
			tries++
			longest = max(longest, time.Since(last))
			last = time.Now()
			_, _ = s.KnowsEquipment(ctx, "s", "m")
		}
	}
	if tries < 5 || tries > 30 || longest < 200*time.Millisecond {
		t.Errorf("tried %d times in 2 s, the longest rest was %s", tries, longest)
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

func (k *keyed) Ping(context.Context) error { return nil }

func (k *keyed) KnowsEquipment(_ context.Context, _, id string) (bool, error) {
	if k.away.Load() {
		return false, errAway
	}
	return id == "m", k.err
}

// TestADamagedFileIsPutAside: what was known is known anew; a file that can't be
// understood keeps no server from starting, and is kept.
func TestADamagedFileIsPutAside(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"empty": "", "cut": `{"keys": [{"ID"`, "zeros": "\x00\x00\x00\x00", "of another kind": `{"keys": 3}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "known.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			known, err := spool.OpenKnown(path, slog.New(slog.NewTextHandler(&said, nil)))
			if err != nil {
				t.Fatal(err)
			}
			if list, away := known.Leases("connection"); len(list) != 0 || away {
				t.Errorf("it knows the leases %v, %t", list, away)
			}
			for _, word := range []string{"level=WARN", "API key", "leases", ".damaged-"} {
				if !strings.Contains(said.String(), word) {
					t.Errorf("%q is not in %s", word, said.String())
				}
			}
			aside, err := filepath.Glob(path + ".damaged-*")
			if err != nil || len(aside) != 1 {
				t.Fatal(aside, err)
			}
			if kept, err := os.ReadFile(aside[0]); string(kept) != content || err != nil {
				t.Errorf("kept is %q, %v", kept, err)
			}
			known.KeepLeases("connection", []lease.Lease{{Name: "connection/x", Owner: "a", Epoch: 3}}, false)
			if err := known.Write(); err != nil {
				t.Fatal(err)
			}
			if known, err = spool.OpenKnown(path, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			if list, _ := known.Leases("connection"); len(list) != 1 {
				t.Errorf("afterwards it knows the leases %v", list)
			}
		})
	}
}
