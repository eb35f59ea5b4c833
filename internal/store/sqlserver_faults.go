package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	mssql "github.com/microsoft/go-mssqldb"

	"plantgate/internal/mes"
)

// The numbers of SQL Server's errors that plantgate tells apart.
const (
	errorDuplicateKey      = 2627
	errorDuplicateIndexKey = 2601
	errorDeadlock          = 1205
	errorSnapshotConflict  = 3960
	errorLockTimeout       = 1222
	errorNoDatabase        = 4060
	errorNoSuchDatabase    = 911
	errorLoginFailed       = 18456
	errorNoColumn          = 207
	errorNoObject          = 208
	errorOfBabelfish       = 33557097 // any for which it has no number of SQL Server's
	// Those that statements of plantgate's own throw.
	errorLeftOpen  = 51000
	errorLeaseLost = 51001
)

// isTransient tells whether a server that says so will answer again by itself, or when
// somebody has mended it: it is starting, failing over, or has too much to do (SQL
// Server, RDS and Azure), has no space left, or may only be read now.
func isTransient(number int32) bool {
	switch number {
	case 64, 233, 4221, 10053, 10054, 10060, 10928, 10929, 40197, 40501, 40613, 49918, 49919, 49920,
		1101, 1105, 9002, // no space for data or log
		921, 922, 927, 976, 983, 3906, 6005, 17142: // recovering, restoring, a secondary, read-only, stopping, paused
		return true
	default:
		return false
	}
}

// isUnstorable tells whether a value is what can't be written: too long, out of range,
// of another form, or against a condition of its column.
func isUnstorable(number int32) bool {
	switch number {
	case 2628, 8152, 220, 241, 242, 245, 515, 547, 8114, 8115, 13608, 13609:
		return true
	default:
		return false
	}
}

// isDuplicateRecord tells whether the key of a record, or of what is known of it, was
// there that was not when the transaction looked. Numbers of work units are given by
// several servers at once, and may be there through no fault of the record.
func isDuplicateRecord(err error) bool {
	var failure mssql.Error
	return errors.As(err, &failure) && (failure.Number == errorDuplicateKey || failure.Number == errorDuplicateIndexKey) &&
		slices.ContainsFunc([]string{"record_", "delivery_", "latest_"}, func(key string) bool { return strings.Contains(failure.Message, key) })
}

// errAgain marks an error after which the same transaction, made again, may go well.
var errAgain = errors.New("the transaction may be made again")

// mayGoWellLater tells whether the transaction is to be made again.
func mayGoWellLater(err error) bool { return errors.Is(err, errAgain) }

// readFault implements database.
func (db *sqlServerDB) readFault(err error, doing string) error {
	if isMapped(err) {
		return err
	}
	if cause := contextError(err); cause != nil {
		return cutShort(cause)
	}
	return db.fault(err, doing)
}

// writeFault implements database. A commit whose answer is lost is made again: it is
// either there, and finds its own records, or is not.
func (db *sqlServerDB) writeFault(err error, doing string) error {
	if isMapped(err) {
		return err
	}
	return db.fault(err, doing)
}

// fault maps an error of a statement.
func (db *sqlServerDB) fault(err error, doing string) error {
	if misses(err) {
		return db.store.missing(err, doing)
	}
	return sqlServerFault(err, doing)
}

// misses tells whether a statement missed a table or a column.
func misses(err error) bool {
	var failure mssql.Error
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Number {
	case errorNoColumn, errorNoObject:
		return true
	case errorOfBabelfish:
		return strings.HasSuffix(failure.Message, " does not exist")
	default:
		return false
	}
}

// waitedForLock tells whether a statement waited too long for what another holds. The
// other may be for minutes in coming back, so that the database is as good as away.
func waitedForLock(failure mssql.Error) bool {
	return failure.Number == errorLockTimeout ||
		failure.Number == errorOfBabelfish && strings.HasSuffix(failure.Message, "due to lock timeout")
}

// beginFault maps an error of what every transaction begins with: nothing of it can lie
// in what is written, so that the server is not ready for anybody.
func beginFault(err error) error {
	const doing = "begin a transaction"
	mapped := sqlServerFault(err, doing)
	if mes.ErrorCode(mapped) == mes.CodeInternal {
		return mes.Wrap(mes.CodeUnavailable, fmt.Errorf("%w: %w: %s: %w", mes.ErrStoreAway, errAgain, doing, err), "the database can't be reached")
	}
	return mapped
}

func sqlServerFault(err error, doing string) error {
	cause := fmt.Errorf("%s: %w", doing, err)
	again := fmt.Errorf("%w: %w", errAgain, cause)
	var failure mssql.Error
	if !errors.As(err, &failure) {
		if isConnectionFailure(err) {
			return mes.Wrap(mes.CodeUnavailable, fmt.Errorf("%w: %w", mes.ErrStoreAway, again), "the database can't be reached")
		}
		return internalError(err, doing)
	}
	switch number := failure.Number; {
	case waitedForLock(failure):
		return mes.Wrap(mes.CodeUnavailable, fmt.Errorf("%w: %w", mes.ErrStoreAway, cause), "the database is locked by somebody who does not go on")
	case number == errorDeadlock, number == errorSnapshotConflict,
		number == errorDuplicateKey, number == errorDuplicateIndexKey, number == errorLeftOpen:
		return mes.Wrap(mes.CodeUnavailable, again, "the store is busy")
	case number == errorLeaseLost:
		return mes.Wrap(mes.CodeUnavailable, fmt.Errorf("%w: %w", mes.ErrLeaseLost, cause), "another server has taken over")
	case isTransient(number), number == errorNoDatabase, number == errorNoSuchDatabase:
		return mes.Wrap(mes.CodeUnavailable, fmt.Errorf("%w: %w", mes.ErrStoreAway, again), "the database can't be reached")
	case number == errorLoginFailed:
		return mes.Wrap(mes.CodeUnavailable, fmt.Errorf("%w: %w", mes.ErrStoreAway, cause), "the database refuses the login")
	case isUnstorable(number):
		return mes.Wrap(mes.CodeInternal, fmt.Errorf("%w: %w", mes.ErrUnstorable, cause), fmt.Sprintf("the store can't hold it (error %d)", number))
	default:
		return internalError(err, doing)
	}
}

var errNoConnection = errors.New("no connection can be made")

// isConnectionFailure tells whether the connection failed rather than a statement.
func isConnectionFailure(err error) bool {
	var network net.Error
	var stream mssql.StreamError
	var reset mssql.RetryableError
	var server mssql.ServerError
	return errors.Is(err, errNoConnection) || errors.Is(err, driver.ErrBadConn) || errors.As(err, &network) || errors.As(err, &stream) ||
		errors.As(err, &reset) || errors.As(err, &server) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
