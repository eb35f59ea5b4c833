package store

import (
	"context"
	"slices"

	"plantgate/internal/mes"
)

// cursorsAtOnce bounds the cursors of one transaction.
const cursorsAtOnce = 2000

// cursorRow is how far the values of a node are stored.
type cursorRow struct {
	Node      uuid      `db:"node"`
	Committed timestamp `db:"committed"`
	GapFrom   timestamp `db:"gap_from"`
	GapTo     timestamp `db:"gap_to"`
	GapSince  timestamp `db:"gap_since"`
}

func (r cursorRow) toDomain() mes.OPCUACursor {
	return mes.OPCUACursor{Node: mes.ID(r.Node), At: r.Committed.Time,
		Gap: mes.OPCUAGap{From: r.GapFrom.Time, To: r.GapTo.Time, Since: r.GapSince.Time}}
}

var cursorRows = rowsOf("connection NVARCHAR(128)", "node BINARY(16)", "committed DATETIME2(6)",
	"gap_from DATETIME2(6)", "gap_to DATETIME2(6)", "gap_since DATETIME2(6)")

var (
	cursorsOfConnection = portable("SELECT node, committed, gap_from, gap_to, gap_since FROM opcua_cursor WHERE connection = ?")
	putCursor           = statement{
		sqlite: `INSERT INTO opcua_cursor (connection, node, committed, gap_from, gap_to, gap_since) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (connection, node) DO UPDATE SET committed = excluded.committed,
				gap_from = excluded.gap_from, gap_to = excluded.gap_to, gap_since = excluded.gap_since`,
		// A subquery of TOP finds each node by the index, whatever is known of how large the table is.
		sqlserver: `UPDATE c SET committed = j.committed, gap_from = j.gap_from, gap_to = j.gap_to, gap_since = j.gap_since
			FROM ` + cursorRows + `
			JOIN opcua_cursor AS c ON c.connection = j.connection AND c.node = j.node;
			INSERT INTO opcua_cursor (connection, node, committed, gap_from, gap_to, gap_since)
			SELECT j.connection, j.node, j.committed, j.gap_from, j.gap_to, j.gap_since FROM ` + cursorRows + `
			WHERE (SELECT TOP (1) c.node FROM opcua_cursor AS c WHERE c.connection = j.connection AND c.node = j.node) IS NULL`,
	}
)

// OPCUACursors are the cursors of a connection, in no particular order.
func (s *Store) OPCUACursors(ctx context.Context, connection string) ([]mes.OPCUACursor, error) {
	var rows []cursorRow
	if err := s.selectRows(ctx, &rows, cursorsOfConnection, connection); err != nil {
		return nil, s.db.readFault(err, "read cursors of OPC UA")
	}
	list := make([]mes.OPCUACursor, len(rows))
	for i, r := range rows {
		list[i] = r.toDomain()
	}
	return list, nil
}

// KeepOPCUACursors puts cursors of a connection in the place of those of the same nodes. A
// cursor and its gap are kept together; of a long list that fails a part may be kept.
func (s *Store) KeepOPCUACursors(ctx context.Context, connection string, cursors []mes.OPCUACursor) error {
	for part := range slices.Chunk(cursors, cursorsAtOnce) {
		arguments := make([][]any, len(part))
		for i, c := range part {
			arguments[i] = []any{connection, uuid(c.Node), timestamp{mes.Micros(c.At)},
				timestamp{mes.Micros(c.Gap.From)}, timestamp{mes.Micros(c.Gap.To)}, timestamp{mes.Micros(c.Gap.Since)}}
		}
		err := s.update(ctx, synced, func(t *Tx) error {
			return s.db.writeFault(t.each(ctx, putCursor, arguments), "keep cursors of OPC UA")
		})
		if err != nil {
			return err
		}
	}
	return nil
}
