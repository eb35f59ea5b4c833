package store

import (
	"context"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// connectionDeliveryRow is what came by a connection.
type connectionDeliveryRow struct {
	Name    string `db:"name"`
	Number  int64  `db:"number"`
	Content uuid   `db:"content"`
}

// ConnectionDeliveries implements journal.Index.
func (s *Store) ConnectionDeliveries(ctx context.Context, connection string) ([]mes.Delivery, error) {
	var rows []connectionDeliveryRow
	if err := s.lookUp(ctx, &rows, connectionDeliveries, connection); err != nil {
		return nil, s.db.readFault(err, "look up what came by a connection")
	}
	list := make([]mes.Delivery, len(rows))
	for i, r := range rows {
		list[i] = mes.Delivery{Connection: connection, Name: r.Name, Number: r.Number, Content: r.Content}
	}
	return mes.NewestDeliveries(list), nil
}

// PutConnectionDeliveries is the step that keeps what came by connections.
func PutConnectionDeliveries(ctx context.Context, t *Tx, b *journal.Batch) error {
	return t.store.db.writeFault(t.putConnectionDeliveries(ctx, b.ConnectionDeliveries), "note what came by a connection")
}

// putConnectionDeliveries keeps of each name the delivery with the highest number.
func (t *Tx) putConnectionDeliveries(ctx context.Context, list []mes.Delivery) error {
	if len(list) == 0 {
		return nil
	}
	byConnection := map[string][]mes.Delivery{}
	for _, d := range list {
		byConnection[d.Connection] = append(byConnection[d.Connection], d)
	}
	var arguments [][]any
	for _, part := range byConnection {
		for _, d := range mes.NewestDeliveries(part) {
			arguments = append(arguments, []any{d.Connection, d.Name, d.Number, uuid(d.Content)})
		}
	}
	return t.each(ctx, keepDelivery, arguments)
}

var connectionDeliveryRows = rowsOf("connection NVARCHAR(200)", "name NVARCHAR(80)", "number BIGINT", "content BINARY(16)")

var (
	connectionDeliveries = portable("SELECT name, number, content FROM connection_delivery WHERE connection = ?")
	keepDelivery         = statement{
		sqlite: `INSERT INTO connection_delivery (connection, name, number, content) VALUES (?, ?, ?, ?)
			ON CONFLICT (connection, name) DO UPDATE SET number = excluded.number, content = excluded.content
			WHERE excluded.number > connection_delivery.number`,
		sqlserver: `UPDATE d SET number = j.number, content = j.content
			FROM ` + connectionDeliveryRows + `
			JOIN connection_delivery AS d ON d.connection = j.connection AND d.name = j.name
			WHERE d.number < j.number;
			INSERT INTO connection_delivery (connection, name, number, content)
			SELECT j.connection, j.name, j.number, j.content FROM ` + connectionDeliveryRows + `
			WHERE NOT EXISTS (SELECT 1 FROM connection_delivery AS d WHERE d.connection = j.connection AND d.name = j.name)`,
	}
)
