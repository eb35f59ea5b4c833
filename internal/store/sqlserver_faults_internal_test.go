package store

import (
	"errors"
	"testing"

	mssql "github.com/microsoft/go-mssqldb"

	"plantgate/internal/mes"
)

// TestSQLServerMissesATable: what misses a table or a column finds another schema, which
// is a database that is away if it was the program's before.
func TestSQLServerMissesATable(t *testing.T) {
	t.Parallel()
	for _, missed := range []mssql.Error{{Number: 207}, {Number: 208}, {Number: 33557097, Message: `relation "record" does not exist`}} {
		s := &Store{schema: schema{doubt: make(chan struct{}, 1)}}
		db := &sqlServerDB{store: s}
		for _, fault := range []func(error, string) error{db.readFault, db.writeFault} {
			for _, wasRight := range []bool{false, true} {
				s.schema.wasRight.Store(wasRight)
				err := fault(missed, "read")
				if mes.ErrorCode(err) != mes.CodeUnavailable || errors.Is(err, mes.ErrStoreAway) != wasRight {
					t.Errorf("%v, was right %t: %s", missed, wasRight, mes.WithCauses(err))
				}
				select {
				case <-s.Doubt():
				default:
					t.Errorf("%v: nobody looks", missed)
				}
			}
		}
	}
}
