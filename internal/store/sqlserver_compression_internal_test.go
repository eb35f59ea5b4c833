package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
)

// scripted is a server that answers two questions and takes or refuses statements.
type scripted struct {
	edition int64
	version string
	indexes [][]driver.Value // table, index, rows
	refuses error
	taken   []string
}

func (s *scripted) Connect(context.Context) (driver.Conn, error) { return scriptedConn{s}, nil }
func (s *scripted) Driver() driver.Driver                        { return nil }

type scriptedConn struct{ *scripted }

func (scriptedConn) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (scriptedConn) Close() error                        { return nil }
func (scriptedConn) Begin() (driver.Tx, error)           { return nil, driver.ErrSkip }

func (c scriptedConn) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	switch query {
	case editionOfServer.sqlserver:
		return &scriptedRows{[]string{"edition", "version"}, [][]driver.Value{{c.edition, c.version}}}, nil
	case uncompressed.sqlserver:
		return &scriptedRows{[]string{"table_name", "index_name", "row_count"}, c.indexes}, nil
	}
	return nil, errors.New("not understood: " + query)
}

func (c scriptedConn) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	if c.refuses != nil {
		return nil, c.refuses
	}
	c.taken = append(c.taken, query)
	return driver.RowsAffected(0), nil
}

type scriptedRows struct {
	columns []string
	rows    [][]driver.Value
}

func (r *scriptedRows) Columns() []string { return r.columns }
func (r *scriptedRows) Close() error      { return nil }

func (r *scriptedRows) Next(to []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(to, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}

// TestCompression holds what is rebuilt to what a server says of itself: none was at hand
// that has page compression.
func TestCompression(t *testing.T) {
	t.Parallel()
	indexes := [][]driver.Value{{"record", "record_by_id", int64(0)}, {"record", "record_key", int64(0)}, {"rollup", "rollup_key", int64(5_000_000)}}
	for name, c := range map[string]struct {
		server  scripted
		rebuilt []string
		left    string
	}{
		"SQL Server 2022": {scripted{edition: 3, version: "16", indexes: indexes}, []string{"record_by_id", "record_key"}, "rollup has 5000000 rows"},
		"Express":         {scripted{edition: 4, version: "13", indexes: indexes[:1]}, []string{"record_by_id"}, ""},
		"Azure":           {scripted{edition: 5, version: "12", indexes: indexes[:1]}, []string{"record_by_id"}, ""},
		"compressed":      {scripted{edition: 3, version: "16"}, nil, ""},
		"too old":         {scripted{edition: 2, version: "12", indexes: indexes}, nil, "does not have it"},
		"another edition": {scripted{edition: 6, version: "16", indexes: indexes}, nil, "does not have it"},
		"it refuses":      {scripted{edition: 2, version: "16", indexes: indexes, refuses: errors.New("no permission")}, nil, "no permission"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := sqlx.NewDb(sql.OpenDB(&c.server), sqlServerDriver)
			defer db.Close()
			done := (&sqlServerDB{writers: db}).compress(t.Context())
			if !slices.Equal(done.Indexes, c.rebuilt) || !strings.Contains(done.Left, c.left) || (c.left == "") != (done.Left == "") {
				t.Errorf("%+v", done)
			}
			var want []string
			for _, index := range c.rebuilt {
				want = append(want, "ALTER INDEX ["+index+"] ON [record] REBUILD WITH (DATA_COMPRESSION = PAGE)")
			}
			if !slices.Equal(c.server.taken, want) {
				t.Errorf("sent %q", c.server.taken)
			}
		})
	}
}
