package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"plantgate/internal/mes"
)

const (
	// ReportView is the view that reports read.
	ReportView = "MES_Data"
	// NameBefore is what a table with the name of the view is called once the view has
	// taken its name.
	NameBefore = "MES_Data_before_plantgate"
)

var (
	// ownerOfName tells what a name stands for, whatever its case: BASE TABLE or VIEW, and
	// the name as it is written.
	ownerOfName = statement{
		sqlite: `SELECT CASE type WHEN 'table' THEN 'BASE TABLE' ELSE 'VIEW' END, name FROM sqlite_schema
			WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE`,
		sqlserver: "SELECT TABLE_TYPE, TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = SCHEMA_NAME() AND TABLE_NAME = @p1",
	}
	renameReports = statement{
		sqlite: "ALTER TABLE " + ReportView + " RENAME TO " + NameBefore,
		sqlserver: `DECLARE @name NVARCHAR(600) = CONCAT(QUOTENAME(SCHEMA_NAME()), N'.[` + ReportView + `]');
			EXEC sp_rename @objname = @name, @newname = N'` + NameBefore + `', @objtype = N'OBJECT'`,
	}
)

const baseTable = "BASE TABLE"

// setReportsAside renames a table that has the name of the view for reports, and tells
// whether there was one. It is for a database that nobody else changes.
func (s *Store) setReportsAside(ctx context.Context, db *sql.DB) (bool, error) {
	kind, name, err := s.owner(ctx, db, ReportView)
	if err != nil || kind != baseTable {
		return false, err
	}
	other, taken, err := s.owner(ctx, db, NameBefore)
	if err != nil {
		return false, err
	}
	if other != "" {
		return false, mes.Errorf(mes.CodeConflict,
			"the name of the table %s is needed for a view, and the table can't be renamed to %s, which is there too: rename one of the two, then run `plantgate migrate up`",
			name, taken)
	}
	if _, err := db.ExecContext(ctx, s.db.text(renameReports)); err != nil {
		return false, fmt.Errorf("rename the table %s to %s: %w", name, NameBefore, err)
	}
	return true, nil
}

// owner tells what has a name; "" is nothing.
func (s *Store) owner(ctx context.Context, db *sql.DB, of string) (kind, name string, err error) {
	err = db.QueryRowContext(ctx, s.db.text(ownerOfName), of).Scan(&kind, &name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	return kind, name, err
}
