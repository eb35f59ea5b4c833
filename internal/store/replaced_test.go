package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"plantgate/internal/mes"
	"plantgate/internal/store"
)

// TestFileTakenAway: what is written to a file that nobody can open again is
// not stored, and the process must not go on as if it were.
func TestFileTakenAway(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(path string) error{
		"removed": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "plant.db")
			s := open(t, "sqlite:"+path, store.Options{})
			if _, err := s.MigrateUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.PutSites(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if err := take(path); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				err := s.PutSites(t.Context(), nil)
				if !errors.Is(err, mes.ErrDurability) {
					t.Errorf("the commit to a file that is not there: %v", err)
				}
			}
		})
	}
}
