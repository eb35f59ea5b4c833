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
	for _, number := range []int32{207, 208} {
		s := &Store{schema: schema{doubt: make(chan struct{}, 1)}}
		db := &sqlServerDB{store: s}
		for _, fault := range []func(error, string) error{db.readFault, db.writeFault} {
			for _, wasRight := range []bool{false, true} {
				s.schema.wasRight.Store(wasRight)
				err := fault(mssql.Error{Number: number}, "read")
				if mes.ErrorCode(err) != mes.CodeUnavailable || errors.Is(err, mes.ErrStoreAway) != wasRight {
					t.Errorf("error %d, was right %t: %s", number, wasRight, mes.WithCauses(err))
				}
				select {
				case <-s.Doubt():
				default:
					t.Errorf("error %d: nobody looks", number)
				}
			}
		}
	}
}
