package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"time"

	"plantgate/internal/mes"
)

// eachRecord calls yield for each row of a query of recordColumns.
func (s *Store) eachRecord(ctx context.Context, query statement, args []any, yield func(*mes.Record) error) error {
	return s.eachRow(ctx, query, args, columnsOfRecord, func(row []driver.Value) error {
		r := new(mes.Record)
		if err := s.scanRecord(ctx, row, r); err != nil {
			return err
		}
		return yield(r)
	})
}

// eachRow calls yield for each row of a query that only reads. It asks the driver
// itself: for thousands of rows the conversions of database/sql cost more than
// reading them. The row is valid until yield returns.
func (s *Store) eachRow(ctx context.Context, q statement, args []any, columns int, yield func(row []driver.Value) error) error {
	query := s.db.text(q)
	values, err := valuesOf(s.db.bind(args))
	if err != nil {
		return err
	}
	conn, err := s.readers.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.Raw(func(c any) error {
		rows, done, err := queryRows(ctx, c, query, values)
		if err != nil {
			return err
		}
		defer done()
		row := make([]driver.Value, columns)
		for err = rows.Next(row); err == nil; err = rows.Next(row) {
			if err = yield(row); err != nil {
				break
			}
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return errors.Join(err, rows.Close())
	})
}

// eachScanned calls yield for each row, and closes them.
func eachScanned(rows *sql.Rows, columns int, yield func([]driver.Value) error) error {
	defer func() { _ = rows.Close() }()
	row, places := make([]driver.Value, columns), make([]any, columns)
	for i := range row {
		places[i] = (*any)(&row[i])
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		if err := yield(row); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// queryRows asks a connection of a driver, whichever way it can be asked. done is to
// be called after the rows are closed.
func queryRows(ctx context.Context, c any, query string, args []driver.NamedValue) (rows driver.Rows, done func(), err error) {
	if q, ok := c.(driver.QueryerContext); ok {
		rows, err = q.QueryContext(ctx, query, args)
		return rows, func() {}, err
	}
	stmt, err := c.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	if rows, err = stmt.(driver.StmtQueryContext).QueryContext(ctx, args); err != nil {
		return nil, nil, errors.Join(err, stmt.Close())
	}
	return rows, func() { _ = stmt.Close() }, nil
}

// valuesOf does what database/sql does to arguments before the driver has them.
func valuesOf(args []any) ([]driver.NamedValue, error) {
	values := named(args)
	for i := range values {
		if v, ok := values[i].Value.(driver.Valuer); ok {
			var err error
			if values[i].Value, err = v.Value(); err != nil {
				return nil, err
			}
		}
	}
	return values, nil
}

// named numbers the arguments of a statement.
func named(args []any) []driver.NamedValue {
	list := make([]driver.NamedValue, len(args))
	for i, a := range args {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return list
}

// integer, moment, text and octets are the values of columns whose type the schema
// makes sure of; NULL is zero.
func integer(v driver.Value) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case bool:
		if v {
			return 1
		}
	}
	return 0
}

func moment(v driver.Value) time.Time {
	switch v := v.(type) {
	case int64:
		return time.UnixMicro(v).UTC()
	case time.Time:
		return v.UTC()
	}
	return time.Time{}
}

func text(v driver.Value) string {
	s, _ := v.(string)
	return s
}

func octets(v driver.Value) []byte {
	b, _ := v.([]byte)
	return b
}

// payload is bytes in SQLite, and text in SQL Server.
func payload(v driver.Value) []byte {
	if s, ok := v.(string); ok {
		return []byte(s)
	}
	return octets(v)
}
