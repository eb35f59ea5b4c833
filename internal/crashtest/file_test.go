package crashtest

import (
	"context"
	"database/sql"
)

// file is what any SQLite program sees of a database.
type file struct {
	integrity string
	// rows are those of MES_Data, lastNumber is the largest Id of them.
	records, rows, lastNumber, quarantined int
}

func readFile(ctx context.Context, path string) (f file, err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return f, err
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check").Scan(&f.integrity); err != nil {
		return f, err
	}
	err = db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM record), (SELECT count(*) FROM MES_Data),
		(SELECT coalesce(max(Id), 0) FROM MES_Data), (SELECT count(*) FROM quarantine)`).
		Scan(&f.records, &f.rows, &f.lastNumber, &f.quarantined)
	return f, err
}
