package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"

	"plantgate/internal/durable"
	"plantgate/internal/mes"
)

// Backup writes a consistent copy of the database as it is now to path, while
// writes go on, and returns once the copy is on disk. It refuses to overwrite a
// file with an error of CodeConflict.
func (s *Store) Backup(ctx context.Context, path string) error {
	db, ok := s.db.(*sqliteDB)
	if !ok {
		return mes.Errorf(mes.CodePrecondition, "only an embedded database is copied this way: use the backups of SQL Server")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return mes.Errorf(mes.CodeConflict, "the file %s exists", path)
	}
	if err != nil {
		return fmt.Errorf("store: create the copy: %w", err)
	}
	// SQLite fills the empty file through a handle of its own; this one keeps
	// the permissions and syncs.
	err = errors.Join(db.copyTo(ctx, path), f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return durable.SyncFolder(filepath.Dir(path))
}

func (db *sqliteDB) copyTo(ctx context.Context, path string) error {
	conn, err := sqlx.ConnectContext(ctx, sqliteDriver, db.dsn([]string{db.busyPragma()}))
	if err != nil {
		return db.readFault(err, "open the database to copy")
	}
	_, err = conn.ExecContext(ctx, "VACUUM INTO ?", path)
	if err != nil {
		err = db.readFault(err, "copy the database")
	}
	return errors.Join(err, conn.Close())
}
