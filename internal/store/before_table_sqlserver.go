package store

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"plantgate/internal/mesdata"
)

func quoteSQLServer(name string) string { return "[" + strings.ReplaceAll(name, "]", "]]") + "]" }

// isTimeBefore implements database. The type timestamp has no times.
func (db *sqlServerDB) isTimeBefore(kind string) bool {
	switch kind {
	case "datetime", "datetime2", "smalldatetime", "datetimeoffset":
		return true
	}
	return isTextBefore(kind) || isWholeBefore(kind) || isDecimalBefore(kind)
}

func isTextBefore(kind string) bool {
	switch kind {
	case "char", "varchar", "text", "nchar", "nvarchar", "ntext":
		return true
	}
	return false
}

func isWholeBefore(kind string) bool {
	switch kind {
	case "tinyint", "smallint", "int", "bigint":
		return true
	}
	return false
}

func isDecimalBefore(kind string) bool {
	switch kind {
	case "decimal", "numeric", "float", "real":
		return true
	}
	return false
}

func isBinaryBefore(kind string) bool {
	switch kind {
	case "binary", "varbinary", "image":
		return true
	}
	return false
}

// tableBefore implements database. Rows are read by pages of a primary key of whole
// numbers; else by one query, in the order of their key, or of their content so that those
// come together that nothing tells apart.
func (db *sqlServerDB) tableBefore(ctx context.Context, t *tableBefore, columns []columnBefore, c chosenColumns) error {
	key, primary, err := db.keyBefore(ctx, t.layout.Table, columns)
	if err != nil {
		return err
	}
	t.layout.Key = key.Name
	cells := [cellsOfRow]string{
		cellDataType: textBefore(c.dataType), cellPayload: payloadBefore(c.payload),
		cellMachine: textBefore(c.machine), cellSite: textBefore(c.site), cellTime: timeBefore(c.time),
	}
	switch {
	case key.Name == "":
		t.order = " ORDER BY " + strings.Join(contentOrder(c), ", ")
		t.rows = func() func([]driver.Value) (mesdata.Row, error) { return byContent(c.time.Type) }
	case primary && isWholeBefore(key.Type):
		cells[cellPage] = quoteSQLServer(key.Name)
		t.after = " WHERE " + quoteSQLServer(key.Name) + " > @p1"
		fallthrough
	default:
		cells[cellKey] = quoteSQLServer(key.Name)
		t.order = " ORDER BY " + quoteSQLServer(key.Name)
		t.rows = func() func([]driver.Value) (mesdata.Row, error) { return byKey(key.Type, c.time.Type) }
	}
	t.query = selected(cells) + " FROM " + quoteSQLServer(t.layout.Table)
	return nil
}

// keyBefore is the primary key if it has one column, else a column Id of which every row
// has another value.
func (db *sqlServerDB) keyBefore(ctx context.Context, table string, columns []columnBefore) (key columnBefore, primary bool, err error) {
	if key := primaryKey(columns); len(key) == 1 {
		return key[0], true, nil
	}
	at := slices.IndexFunc(columns, func(c columnBefore) bool { return strings.EqualFold(c.Name, "Id") })
	if at < 0 || !isWholeBefore(columns[at].Type) && columns[at].Type != "uniqueidentifier" {
		return columnBefore{}, false, nil
	}
	var all, distinct int64
	err = db.store.readers.DB.QueryRowContext(ctx, differentBefore(table, columns[at].Name)).Scan(&all, &distinct)
	if err != nil || all != distinct {
		return columnBefore{}, false, err
	}
	return columns[at], false, nil
}

func differentBefore(table, column string) string {
	return "SELECT COUNT_BIG(*), COUNT_BIG(DISTINCT " + quoteSQLServer(column) + ") FROM " + quoteSQLServer(table)
}

func textBefore(c columnBefore) string {
	if c.Name == "" {
		return ""
	}
	return "CAST(" + quoteSQLServer(c.Name) + " AS NVARCHAR(MAX))"
}

func payloadBefore(c columnBefore) string {
	if isBinaryBefore(c.Type) {
		return "CAST(" + quoteSQLServer(c.Name) + " AS VARBINARY(MAX))"
	}
	return textBefore(c)
}

func timeBefore(c columnBefore) string {
	if c.Name == "" || !isTextBefore(c.Type) {
		return quoteIfNamed(c)
	}
	return textBefore(c)
}

func quoteIfNamed(c columnBefore) string {
	if c.Name == "" {
		return ""
	}
	return quoteSQLServer(c.Name)
}

// contentOrder brings rows of the same content together: as T-SQL compares texts, those are
// equal too that only differ in blanks at their end.
func contentOrder(c chosenColumns) []string {
	var terms []string
	for _, column := range []columnBefore{c.payload, c.dataType, c.machine, c.site, c.time} {
		switch expression := payloadBefore(column); {
		case column.Name == "":
		case isBinaryBefore(column.Type):
			terms = append(terms, expression, "DATALENGTH("+expression+")")
		case column == c.time && !isTextBefore(column.Type):
			terms = append(terms, quoteSQLServer(column.Name))
		default:
			terms = append(terms, expression+" COLLATE "+collation, "DATALENGTH("+expression+")")
		}
	}
	return terms
}

// byKey names rows after their key.
func byKey(keyKind, timeKind string) func(cells []driver.Value) (mesdata.Row, error) {
	return func(cells []driver.Value) (mesdata.Row, error) {
		row, err := rowBeforeSQLServer(cells, timeKind)
		row.Key = keyText(cells[cellKey], keyKind)
		return row, err
	}
}

// byContent names rows after their content, and numbers those of the same.
func byContent(timeKind string) func(cells []driver.Value) (mesdata.Row, error) {
	var last [sha256.Size]byte
	var same int
	return func(cells []driver.Value) (mesdata.Row, error) {
		row, err := rowBeforeSQLServer(cells, timeKind)
		if sum := contentBefore(cells, &row); sum == last {
			same++
		} else {
			last, same = sum, 1
		}
		row.Key = hex.EncodeToString(last[:16]) + "." + strconv.Itoa(same)
		return row, err
	}
}

// contentBefore is the content of a row as contentOrder tells rows apart: with the blanks
// around its texts, and what is empty apart from what is NULL. Rows that are equal here come
// one after the other. Times with offsets are ordered as times.
func contentBefore(cells []driver.Value, row *mesdata.Row) [sha256.Size]byte {
	var b []byte
	for _, cell := range []int{cellPayload, cellDataType, cellMachine, cellSite, cellTime} {
		part := payload(cells[cell])
		switch v := cells[cell].(type) {
		case nil, string:
		case time.Time:
			part = []byte(v.UTC().Format("2006-01-02T15:04:05.999999999"))
		default:
			if cell == cellTime {
				part = []byte(row.Time.Text)
			}
		}
		length := uint64(len(part))
		if len(part) == 0 && cells[cell] != nil {
			length = math.MaxUint64
		}
		b = binary.BigEndian.AppendUint64(b, length)
		b = append(b, part...)
	}
	return sha256.Sum256(b)
}

func rowBeforeSQLServer(cells []driver.Value, timeKind string) (mesdata.Row, error) {
	moment, err := momentBefore(cells[cellTime], timeKind)
	return mesdata.Row{
		DataType: trimmed(cells[cellDataType]), MachineID: trimmed(cells[cellMachine]), SiteID: trimmed(cells[cellSite]),
		Payload: payload(cells[cellPayload]), Time: moment,
	}, err
}

// momentBefore is a time as the driver gives it. Only one type knows an offset.
func momentBefore(v driver.Value, kind string) (mesdata.Moment, error) {
	switch v := v.(type) {
	case nil:
		return mesdata.Moment{}, nil
	case time.Time:
		if kind == "datetimeoffset" {
			return mesdata.Moment{Text: v.Format(time.RFC3339Nano)}, nil
		}
		return mesdata.Moment{Text: v.Format("2006-01-02T15:04:05.999999999")}, nil
	case string:
		return mesdata.Moment{Text: strings.TrimSpace(v)}, nil
	case int64:
		return mesdata.Moment{Text: strconv.FormatInt(v, 10), IsNumber: true}, nil
	case float64:
		return mesdata.Moment{Text: strconv.FormatFloat(v, 'f', -1, 64), IsNumber: true}, nil
	case []byte: // of decimals
		return mesdata.Moment{Text: string(v), IsNumber: true}, nil
	}
	return mesdata.Moment{}, fmt.Errorf("a time is a %T", v)
}

// keyText writes a value of a key so that another value has another text.
func keyText(v driver.Value, kind string) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case string:
		return v
	case []byte:
		if kind == "uniqueidentifier" || isBinaryBefore(kind) {
			return hex.EncodeToString(v)
		}
		return string(v)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}

// trimmed is a text without the blanks that fill a column of fixed length.
func trimmed(v driver.Value) string { return strings.TrimSpace(text(v)) }

// primaryKey returns the columns of the primary key in their order.
func primaryKey(columns []columnBefore) []columnBefore {
	var key []columnBefore
	for _, c := range columns {
		if c.Key > 0 {
			key = append(key, c)
		}
	}
	slices.SortFunc(key, func(a, b columnBefore) int { return int(a.Key - b.Key) })
	return key
}
