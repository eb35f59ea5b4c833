package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-sql/civil"
	"github.com/jmoiron/sqlx"
	mssql "github.com/microsoft/go-mssqldb"
	"github.com/pressly/goose/v3"

	"plantgate/internal/mes"
	"plantgate/migrations"
)

// SQLServerOptions are the settings of a database on SQL Server. The zero value of a
// field means its default.
type SQLServerOptions struct {
	// Connections bounds the connections of all pools together; 0 means 16.
	Connections int
	// StatementTimeout bounds one transaction, however long its statements would wait;
	// 0 means 30 s.
	StatementTimeout time.Duration
	// IntakeTimeout is StatementTimeout of intake, for which there is a log where the
	// database takes long; 0 means 10 s.
	IntakeTimeout time.Duration
	// ConnectTimeout bounds how long it takes to connect and log in; 0 means 5 s.
	ConnectTimeout time.Duration
	// RetryFor is how long a transaction is tried again that failed through no fault of
	// its own; 0 means 5 s.
	RetryFor time.Duration
	// Connector, if it is set, connects in place of the DSN: tests look at what goes
	// through it.
	Connector driver.Connector
}

func (o *SQLServerOptions) setDefaults() {
	if o.Connections <= 0 {
		o.Connections = defaultConnections
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.StatementTimeout, defaultStatementTimeout}, {&o.IntakeTimeout, defaultIntakeTimeout},
		{&o.ConnectTimeout, defaultConnectTimeout}, {&o.RetryFor, defaultRetryFor},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
}

const (
	sqlServerDriver         = "sqlserver"
	kerberos                = "krb5" // the authenticator of a DSN
	defaultConnections      = 16
	defaultStatementTimeout = 30 * time.Second
	defaultIntakeTimeout    = 10 * time.Second
	defaultConnectTimeout   = 5 * time.Second
	defaultRetryFor         = 5 * time.Second
	sqlServerLookers        = 4
	sqlServerKeepers        = 2
	longestBrief            = 2 * time.Second
	migrationLock           = "plantgate schema"
	longestMigrationWait    = 5 * time.Minute
	leastTries              = 4
	firstRetry              = 20 * time.Millisecond
	longestRetry            = time.Second
	connectionsMayLive      = 30 * time.Minute
	connectionsMayIdle      = 5 * time.Minute
)

// sqlServerDB is a database on SQL Server, which other servers may use too.
type sqlServerDB struct {
	store   *Store
	options SQLServerOptions
	writers *sqlx.DB
	// keepers are connections for what must not wait for a writer: leases.
	keepers *sqlx.DB

	mu     sync.Mutex // guards closed, and that nothing begins to be at work after it
	closed bool
	atWork sync.WaitGroup
}

func (s *Store) openSQLServer(dsn string, options Options) error {
	o := options.SQLServer
	o.setDefaults()
	connector := o.Connector
	if connector == nil {
		var err error
		if connector, err = newConnector(dsn, o.ConnectTimeout); err != nil {
			return err
		}
	}
	connector = connecting{connector}
	sqlx.BindDriver(sqlServerDriver, sqlx.AT)
	db := &sqlServerDB{store: s, options: o}
	s.db = db
	// Connections are made when they are needed: the database may be away now.
	pool := func(size int) *sqlx.DB {
		p := sqlx.NewDb(sql.OpenDB(connector), sqlServerDriver)
		p.SetMaxOpenConns(size)
		p.SetMaxIdleConns(size)
		p.SetConnMaxLifetime(connectionsMayLive)
		p.SetConnMaxIdleTime(connectionsMayIdle)
		return p
	}
	s.readers = pool(options.Readers)
	s.lookers = pool(sqlServerLookers)
	db.keepers = pool(sqlServerKeepers)
	db.writers = pool(max(2, o.Connections-options.Readers-sqlServerLookers-sqlServerKeepers))
	return nil
}

func (db *sqlServerDB) close() error {
	db.mu.Lock()
	db.closed = true
	db.mu.Unlock()
	db.atWork.Wait()
	return errors.Join(db.keepers.Close(), db.writers.Close())
}

// update implements database. A transaction that failed through no fault of its own is
// made again as a whole, for a while: whatever may have come of it, the same records
// are not stored twice.
func (db *sqlServerDB) update(ctx context.Context, m manner, fn func(*Tx) error) error {
	if !db.begin() {
		return mes.Errorf(mes.CodeUnavailable, "the store is closed")
	}
	defer db.atWork.Done()
	work := context.WithoutCancel(ctx)
	enough := time.Now().Add(db.options.RetryFor)
	if m.brief {
		enough = time.Now().Add(longestBrief)
	}
	pause := firstRetry
	stepwise := false
	for tries := 1; ; tries++ {
		atOnce, err := db.try(work, m, stepwise, fn)
		// What fails for a reason of its own as one statement may lie in the connection:
		// step by step that shows.
		if atOnce && !stepwise && mes.ErrorCode(err) == mes.CodeInternal {
			stepwise = true
			continue
		}
		if !mayGoWellLater(err) {
			return err
		}
		// There is a log for a database that is away; a connection that was, once, is not.
		if errors.Is(err, mes.ErrStoreAway) && (tries > 1 || time.Now().After(enough)) {
			return err
		}
		wait := pause/2 + rand.N(pause)
		// One that waited long for another has not tried often yet.
		if tries >= leastTries && time.Now().Add(wait).After(enough) {
			if isDuplicateRecord(err) { // nobody else has it, or it would have been found
				err = mes.Wrap(mes.CodeInternal, fmt.Errorf("%w: %w", mes.ErrUnstorable, err), "the store can't hold it")
			}
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return mes.Wrap(mes.CodeUnavailable, ctx.Err(), "the store is busy")
		}
		pause = min(2*pause, longestRetry)
	}
}

// begin tells whether there may be another transaction, and counts it if so.
func (db *sqlServerDB) begin() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	if !db.closed {
		db.atWork.Add(1)
	}
	return !db.closed
}

// transaction is a session that can be ended.
type transaction interface {
	session
	// end commits, or undoes it where there is an error.
	end(err error) error
}

// try makes one transaction. It tells whether nothing was written but in one batch.
func (db *sqlServerDB) try(ctx context.Context, m manner, stepwise bool, fn func(*Tx) error) (atOnce bool, err error) {
	longest := db.options.StatementTimeout
	switch {
	case m.intake:
		longest = db.options.IntakeTimeout
	case m.brief:
		longest = longestBrief
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	steps := &sqlServerSession{db: db, pool: db.writers, ctx: ctx, stepwise: stepwise, impatient: impatient(longest)}
	if m.brief {
		steps.pool = db.keepers
	}
	var session transaction = steps
	if m.deferred && !stepwise {
		session = &deferredSession{db: db, ctx: ctx, impatient: steps.impatient}
	}
	t := &Tx{store: db.store, session: session}
	ended := false
	defer func() {
		if !ended {
			_ = session.end(errPanic)
		}
	}()
	err = session.end(fn(t))
	ended = true
	if err == nil {
		t.committed()
	}
	return steps.tx == nil, err
}

// errPanic undoes a transaction.
var errPanic = errors.New("the transaction was left")

func (db *sqlServerDB) text(s statement) string { return s.sqlserver }

// bind gives every value the type of its column: any other would keep SQL Server from
// using an index.
func (db *sqlServerDB) bind(args []any) []any { return bindAll(args) }

func bindSQLServer(a any) any {
	switch v := a.(type) {
	case timestamp:
		if v.IsZero() {
			return mssql.NullDateTime{}
		}
		return civil.DateTimeOf(v.UTC().Truncate(time.Microsecond))
	case uuid:
		if mes.ID(v).IsZero() {
			return []byte(nil)
		}
		return v[:]
	case sql.NullString:
		if !v.Valid {
			return v // the driver gives it a type, which a plain nil has not
		}
		return v.String
	case driver.Valuer:
		if value, err := v.Value(); err == nil {
			return value
		}
	}
	return a
}

func (db *sqlServerDB) at(t time.Time) driver.Value { return timestamp{t} }

// Some servers can't keep U+0000. What stands for it is a control character that means
// just that, and so has to be told from itself.
var (
	withoutNUL = strings.NewReplacer("\x1a", "\x1aa", "\x00", "\x1a0")
	withNUL    = strings.NewReplacer("\x1aa", "\x1a", "\x1a0", "\x00")
)

func (db *sqlServerDB) sent(text string) string { return withoutNUL.Replace(text) }

func (db *sqlServerDB) sentLong(text string) driver.Value { return maxText(db.sent(text)) }

func (db *sqlServerDB) meant(kept string) string { return withNUL.Replace(kept) }

// To SQL Server a text is equal to the same with spaces after it, whatever the
// collation: where that would make one of two, a DEL stands at the end.
const endOfKey = "\x7f"

func (db *sqlServerDB) asKey(text string) string {
	text = withoutNUL.Replace(text)
	if strings.HasSuffix(strings.TrimRight(text, endOfKey), " ") {
		text += endOfKey
	}
	return text
}

func (db *sqlServerDB) ofKey(kept string) string {
	if strings.HasSuffix(strings.TrimRight(kept, endOfKey), " ") {
		kept = strings.TrimSuffix(kept, endOfKey)
	}
	return withNUL.Replace(kept)
}

func (db *sqlServerDB) page(n int) string {
	return " OFFSET 0 ROWS FETCH NEXT " + strconv.Itoa(n) + " ROWS ONLY"
}

// beyond spells out what T-SQL has no comparison of rows for. The first column is
// bounded by itself as well, so that an index is entered there.
func (db *sqlServerDB) beyond(columns []string, comparison string, args []any) (string, []any) {
	var b strings.Builder
	bound := []any{args[0]}
	b.WriteString(columns[0] + " " + comparison + "= ? AND (")
	for i, column := range columns {
		if i > 0 {
			b.WriteString(" OR ")
		}
		for j := range i {
			b.WriteString(columns[j] + " = ? AND ")
			bound = append(bound, args[j])
		}
		b.WriteString(column + " " + comparison + " ?")
		bound = append(bound, args[i])
	}
	b.WriteString(")")
	return b.String(), bound
}

// migrate takes a lock that other servers respect: of ten that start at once, one
// makes the steps and the others find them made.
func (db *sqlServerDB) migrate(ctx context.Context, fn func(migrator) error) error {
	steps, err := fs.Sub(migrations.SQLServer, "sqlserver")
	if err != nil {
		return fmt.Errorf("store: read the embedded migrations: %w", err)
	}
	conn, err := db.writers.Connx(ctx)
	if err != nil {
		return db.writeFault(err, "connect to migrate")
	}
	defer func() { _ = conn.Close() }()
	if err := lockSchema(ctx, conn); err != nil {
		return db.writeFault(err, "wait for the schema")
	}
	err = fn(migrator{goose.DialectMSSQL, db.writers.DB, steps})
	_, unlockErr := conn.ExecContext(context.WithoutCancel(ctx), unlockSchema, migrationLock)
	if err == nil && unlockErr != nil {
		err = db.writeFault(unlockErr, "let go of the schema")
	}
	return err
}

const (
	takeSchema = `DECLARE @outcome INT;
		EXEC @outcome = sp_getapplock @Resource = @p1, @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = @p2;
		SELECT @outcome`
	unlockSchema = "EXEC sp_releaseapplock @Resource = @p1, @LockOwner = 'Session'"
)

var errSchemaLocked = errors.New("another server has been changing the schema for minutes")

func lockSchema(ctx context.Context, conn *sqlx.Conn) error {
	var outcome int
	if err := conn.GetContext(ctx, &outcome, takeSchema, migrationLock, longestMigrationWait.Milliseconds()); err != nil {
		return err
	}
	if outcome < 0 {
		return errSchemaLocked
	}
	return nil
}
