package storetest

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/mes"
)

// testConnectionNotes keeps notes of connections apart by every letter, the last of a name.
func testConnectionNotes(t *testing.T, s Store) {
	expect := func(connection, prefix string, want map[string][]byte) {
		t.Helper()
		got, err := s.ConnectionNotes(t.Context(), connection, prefix)
		if err != nil {
			t.Fatal(mes.WithCauses(err))
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("the notes of %s (-want +got):\n%s", connection, diff)
		}
	}
	put := func(connection, name, text string) {
		t.Helper()
		if err := s.PutConnectionNote(t.Context(), connection, name, []byte(text)); err != nil {
			t.Fatal(mes.WithCauses(err))
		}
	}
	expect("press", "cursors-", map[string][]byte{})
	large := string(bytes.Repeat([]byte("\x00\xff 𝄞"), 40_000))
	put("press", "cursors-1", "one")
	put("press", "Cursors-1", large)
	const withBlank = "cursors-1 "
	put("press", withBlank, "")
	put("Press", "cursors-1", "another")
	put("press", "cursors-1", "two")
	expect("press", "cursors-", map[string][]byte{"cursors-1": []byte("two"), withBlank: {}})
	expect("press", "Cursors-", map[string][]byte{"Cursors-1": []byte(large)})
	expect("press", "cursors-2", map[string][]byte{})
	expect("Press", "cursors-", map[string][]byte{"cursors-1": []byte("another")})
}
