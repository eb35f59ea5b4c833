package store

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"plantgate/internal/mes"
)

// timestamp is a time in UTC, in microseconds: as a number since 1970 in SQLite, as
// DATETIME2(6) in SQL Server. The zero time is NULL.
type timestamp struct{ time.Time }

// Value implements driver.Valuer.
func (t timestamp) Value() (driver.Value, error) {
	if t.IsZero() {
		return nil, nil
	}
	return t.UnixMicro(), nil
}

// micros is the value without a driver's conversion.
func (t timestamp) micros() driver.Value {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// Scan implements sql.Scanner.
func (t *timestamp) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		t.Time = time.Time{}
	case int64:
		t.Time = time.UnixMicro(v).UTC()
	case time.Time:
		t.Time = v.UTC()
	default:
		return fmt.Errorf("a time is not %T", src)
	}
	return nil
}

// uuid is an id as the database keeps it: 16 bytes. The zero id is NULL.
type uuid mes.ID

// Value implements driver.Valuer.
func (id uuid) Value() (driver.Value, error) {
	if mes.ID(id).IsZero() {
		return nil, nil
	}
	return id[:], nil
}

// bytes is the value without a driver's conversion.
func (id *uuid) bytes() driver.Value {
	if mes.ID(*id).IsZero() {
		return nil
	}
	return id[:]
}

// optional is NULL for nil.
func optional(i *int64) driver.Value {
	if i == nil {
		return nil
	}
	return *i
}

// Scan implements sql.Scanner.
func (id *uuid) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*id = uuid{}
	case []byte:
		if len(v) != len(id) {
			return fmt.Errorf("an id has 16 bytes, not %d", len(v))
		}
		*id = uuid(v)
	default:
		return fmt.Errorf("an id is bytes, not %T", src)
	}
	return nil
}

// digest is a SHA-256.
type digest [32]byte

// Value implements driver.Valuer.
func (d digest) Value() (driver.Value, error) { return d[:], nil }

// Scan implements sql.Scanner.
func (d *digest) Scan(src any) error {
	v, ok := src.([]byte)
	if !ok || len(v) != len(d) {
		return fmt.Errorf("a hash has 32 bytes")
	}
	*d = digest(v)
	return nil
}

// list is a JSON array of elements, empty rather than NULL.
type list[T any] []T

// Value implements driver.Valuer.
func (l list[T]) Value() (driver.Value, error) {
	if len(l) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal([]T(l))
	return string(b), err
}

// Scan implements sql.Scanner. An empty array and NULL become nil.
func (l *list[T]) Scan(src any) error {
	*l = nil
	if src == nil {
		return nil
	}
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("a list is text, not %T", src)
	}
	if text == "[]" {
		return nil
	}
	return json.Unmarshal([]byte(text), (*[]T)(l))
}

// signals is the signals of a record: [[name, kind, canonical text, unit], ...].
// The text is that of mes.Value, so that decimals keep every digit.
type signals []mes.Signal

// Value implements driver.Valuer.
func (s signals) Value() (driver.Value, error) {
	b := make([]byte, 0, 2+48*len(s))
	b = append(b, '[')
	for i, signal := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = mes.String(signal.Name).AppendJSON(b)
		b = append(b, ',')
		b = strconv.AppendUint(b, uint64(signal.Value.Kind()), 10)
		b = append(b, ',')
		b = mes.String(signal.Value.Text()).AppendJSON(b)
		b = append(b, ',')
		b = mes.String(signal.Unit).AppendJSON(b)
		b = append(b, ']')
	}
	return string(append(b, ']')), nil
}

// Scan implements sql.Scanner. It adds to what is there.
func (s *signals) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return fmt.Errorf("signals are text, not %T", src)
	}
	if list, ok := appendPlainSignals(*s, text); ok {
		*s = list
		return nil
	}
	var rows []signalRow
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return err
	}
	for _, r := range rows {
		*s = append(*s, mes.Signal{Name: r.name, Value: mes.Restore(r.kind, r.text), Unit: r.unit})
	}
	return nil
}

// appendPlainSignals reads what Value wrote, as long as no text in it has escapes,
// without copies. It gives up on anything else.
func appendPlainSignals(list []mes.Signal, text string) ([]mes.Signal, bool) {
	if text == "[]" {
		return list, true
	}
	rest, ok := strings.CutPrefix(text, "[")
	for ok {
		var s mes.Signal
		var value string
		if len(rest) < len(`["",0,"",""]`) || rest[0] != '[' {
			return list, false
		}
		if s.Name, rest, ok = plainText(rest[1:]); !ok || len(rest) < 3 {
			return list, false
		}
		kind := rest[1] - '0'
		if rest[0] != ',' || kind > byte(mes.KindArray) || rest[2] != ',' {
			return list, false
		}
		if value, rest, ok = plainText(rest[3:]); !ok || len(rest) < 1 {
			return list, false
		}
		if s.Unit, rest, ok = plainText(rest[1:]); !ok || len(rest) < 2 || rest[0] != ']' {
			return list, false
		}
		s.Value = mes.Restore(mes.Kind(kind), value)
		list = append(list, s)
		if rest == "]]" {
			return list, true
		}
		rest, ok = strings.CutPrefix(rest[1:], ",")
	}
	return list, false
}

// plainText cuts a quoted text without escapes off.
func plainText(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	end := strings.IndexByte(s[1:], '"')
	if end < 0 || strings.IndexByte(s[1:1+end], '\\') >= 0 {
		return "", "", false
	}
	return s[1 : 1+end], s[2+end:], true
}

type signalRow struct {
	name, text, unit string
	kind             mes.Kind
}

// UnmarshalJSON reads [name, kind, text, unit].
func (r *signalRow) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[4]any{&r.name, &r.kind, &r.text, &r.unit})
}

// doors is a set of doors in bits.
type doors int64

const (
	doorREST doors = 1 << iota
	doorMQTT
	doorOPCUA
	doorImport
)

func doorBit(d mes.Door) doors {
	switch d {
	case mes.DoorREST:
		return doorREST
	case mes.DoorMQTT:
		return doorMQTT
	case mes.DoorOPCUA:
		return doorOPCUA
	case mes.DoorImport:
		return doorImport
	default:
		return 0
	}
}

func (set doors) toDomain() []mes.Door {
	var list []mes.Door
	for _, d := range mes.Doors() {
		if set&doorBit(d) != 0 {
			list = append(list, d)
		}
	}
	return list
}
