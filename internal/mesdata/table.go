// Package mesdata loads the rows of a table MES_Data (DataType, Payload), which reports
// read before plantgate, through the one door for machine data. A row becomes the same
// record at every run, so that nothing is stored twice.
package mesdata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"plantgate/internal/mes"
)

// Table is a table of an older installation.
type Table interface {
	Layout() Layout
	// Each calls yield for every row, in the order of the table's key if it has one, and
	// keeps few of them in memory.
	Each(ctx context.Context, yield func(Row) error) error
}

// Layout is the name of a table and of the columns that are read of it; "" is a column
// that is not there.
type Layout struct {
	Table             string
	DataType, Payload string
	MachineID, SiteID string
	Time              string
	// Key is the column that tells rows apart, or "rowid" in SQLite; "" where only their
	// content does.
	Key string
}

// TimesAreOfTheSource tells whether the name of the time column says that its times are
// those of the machine. Any other may say when a row was written.
func (l Layout) TimesAreOfTheSource() bool { return strings.EqualFold(l.Time, "Timestamp") }

// Row is a row as it stands in the table; what is NULL is empty.
type Row struct {
	// Key is the same whenever the row is read, and no other row of the table has it.
	Key               string
	DataType          string
	MachineID, SiteID string
	Payload           []byte
	Time              Moment
}

// Moment is a time as a column has it: a number since 1970, or a text with or without an
// offset; "" is none.
type Moment struct {
	Text     string
	IsNumber bool
}

// name is the message id of a row, which no row of another table has either.
func (r *Row) name(table string) string {
	name := strings.ToValidUTF8(table+":"+r.Key, "\ufffd")
	if len(name) <= mes.MaxMessageIDLength {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}
