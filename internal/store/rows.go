package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"

	"plantgate/internal/mes"
)

// eachRecord calls yield for each row of a query of recordColumns.
func (s *Store) eachRecord(ctx context.Context, query string, args []any, yield func(*mes.Record) error) error {
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
func (s *Store) eachRow(ctx context.Context, query string, args []any, columns int, yield func(row []driver.Value) error) error {
	conn, err := s.readers.Connx(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.Raw(func(c any) error {
		rows, err := c.(driver.QueryerContext).QueryContext(ctx, query, named(args))
		if err != nil {
			return err
		}
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

// named numbers the arguments of a statement.
func named(args []any) []driver.NamedValue {
	list := make([]driver.NamedValue, len(args))
	for i, a := range args {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return list
}

// integer, text and octets are the values of columns whose type the schema
// (STRICT) makes sure of; NULL is zero.
func integer(v driver.Value) int64 {
	i, _ := v.(int64)
	return i
}

func text(v driver.Value) string {
	s, _ := v.(string)
	return s
}

func octets(v driver.Value) []byte {
	b, _ := v.([]byte)
	return b
}
