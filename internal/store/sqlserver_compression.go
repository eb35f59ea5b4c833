package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/jmoiron/sqlx"
)

// Compression is what was done to compress the tables that grow for years.
type Compression struct {
	// Indexes are those that were rebuilt.
	Indexes []string
	// Left says why others were not; "" if there is nothing to say.
	Left string
}

var (
	// editionOfServer is asked of every server of the protocol.
	editionOfServer = statement{sqlserver: `SELECT CAST(SERVERPROPERTY('EngineEdition') AS INT) AS edition,
		CAST(SERVERPROPERTY('ProductMajorVersion') AS NVARCHAR(128)) AS version`}
	// uncompressed are indexes of large tables that nobody has compressed in any way.
	uncompressed = statement{sqlserver: `SELECT t.name AS table_name, i.name AS index_name, SUM(p.rows) AS row_count
		FROM sys.partitions AS p
		JOIN sys.indexes AS i ON i.object_id = p.object_id AND i.index_id = p.index_id
		JOIN sys.tables AS t ON t.object_id = p.object_id
		WHERE t.schema_id = SCHEMA_ID() AND t.name IN (N'record', N'rollup') AND i.name IS NOT NULL AND p.data_compression = 0
		GROUP BY t.name, i.name ORDER BY t.name, i.name`}
)

// rebuildCompressed is outside of what other servers of the protocol understand.
const rebuildCompressed = "ALTER INDEX [%s] ON [%s] REBUILD WITH (DATA_COMPRESSION = PAGE)"

type serverEdition struct {
	Edition int     `db:"edition"`
	Version *string `db:"version"`
}

// The numbers of SQL Server's editions and services that have page compression.
const (
	editionStandard   = 2
	editionEnterprise = 3
	editionExpress    = 4
	editionAzure      = 5
	editionManaged    = 8
)

// compressesSince is SQL Server 2016.
const compressesSince = 13

func (e serverEdition) compresses() bool {
	switch e.Edition {
	case editionAzure, editionManaged: // whose version says nothing
		return true
	case editionStandard, editionEnterprise, editionExpress:
		if e.Version == nil {
			return false
		}
		major, err := strconv.Atoi(*e.Version)
		return err == nil && major >= compressesSince
	}
	return false
}

type uncompressedRow struct {
	Table string `db:"table_name"`
	Index string `db:"index_name"`
	Rows  int64  `db:"row_count"`
}

// largestRebuilt is how many rows an index may have that is rebuilt unasked: nobody can
// read or write the table meanwhile.
const largestRebuilt = 1_000_000

// compress implements database: an index that is new is compressed, a large one is left to
// a person, and so is whatever the server refuses.
func (db *sqlServerDB) compress(ctx context.Context) Compression {
	done, err := compressTables(ctx, db.writers)
	if err != nil {
		done.Left = "page compression is left out: " + err.Error()
	}
	return done
}

func compressTables(ctx context.Context, db *sqlx.DB) (done Compression, err error) {
	var server serverEdition
	if err := db.GetContext(ctx, &server, editionOfServer.sqlserver); err != nil {
		return done, err
	}
	if !server.compresses() {
		done.Left = "page compression is left out: the server does not have it"
		return done, nil
	}
	var rows []uncompressedRow
	if err := db.SelectContext(ctx, &rows, uncompressed.sqlserver); err != nil {
		return done, err
	}
	for _, r := range rows {
		rebuild := fmt.Sprintf(rebuildCompressed, r.Index, r.Table)
		if r.Rows > largestRebuilt {
			done.Left = fmt.Sprintf("%s has %d rows and is not compressed; when the servers may stand still: ALTER INDEX ALL ON [%s] REBUILD WITH (DATA_COMPRESSION = PAGE)",
				r.Table, r.Rows, r.Table)
			continue
		}
		if _, err := db.ExecContext(ctx, rebuild); err != nil {
			return done, fmt.Errorf("%s: %w", rebuild, err)
		}
		done.Indexes = append(done.Indexes, r.Index)
	}
	slices.Sort(done.Indexes)
	return done, nil
}
