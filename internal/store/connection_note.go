package store

import (
	"context"
	"time"

	"plantgate/internal/mes"
)

type noteRow struct {
	Name string `db:"name"`
	Note []byte `db:"note"`
}

var (
	notesOfConnection = portable("SELECT name, note FROM connection_note WHERE connection = ? AND name >= ? AND name < ?")
	replaceNote       = portable("UPDATE connection_note SET note = ?, changed_at = ? WHERE connection = ? AND name = ?")
	insertNote        = portable("INSERT INTO connection_note (connection, name, note, changed_at) VALUES (?, ?, ?, ?)")
)

// ConnectionNotes are what a connection keeps for itself, by its own names, of those that
// begin with a prefix of ASCII.
func (s *Store) ConnectionNotes(ctx context.Context, connection, prefix string) (map[string][]byte, error) {
	var rows []noteRow
	if err := s.selectRows(ctx, &rows, notesOfConnection, connection, prefix, after(prefix)); err != nil {
		return nil, s.db.readFault(err, "read notes of a connection")
	}
	notes := make(map[string][]byte, len(rows))
	for _, r := range rows {
		notes[s.db.ofKey(r.Name)] = r.Note
	}
	return notes, nil
}

// PutConnectionNote keeps a note in the place of the one of that name.
func (s *Store) PutConnectionNote(ctx context.Context, connection, name string, note []byte) error {
	return s.update(ctx, synced, func(t *Tx) error {
		key, text, now := s.db.asKey(name), nonNil(note), timestamp{mes.Micros(time.Now())}
		n, err := t.execCount(ctx, replaceNote, text, now, connection, key)
		if err == nil && n == 0 {
			err = t.exec(ctx, insertNote, connection, key, text, now)
		}
		return s.db.writeFault(err, "keep a note of a connection")
	})
}

// after is the text that follows all that begin with a prefix of ASCII.
func after(prefix string) string {
	return prefix[:len(prefix)-1] + string(prefix[len(prefix)-1]+1)
}
