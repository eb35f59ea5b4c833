package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-sql/civil"
	mssql "github.com/microsoft/go-mssqldb"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/series"
)

// recorder is a connection that keeps what is sent and answers nothing: it shows the
// types of parameters, not what SQL does.
type recorder struct {
	mu   sync.Mutex
	sent []sentStatement
}

type sentStatement struct {
	text string
	args []driver.NamedValue
}

func (r *recorder) Connect(context.Context) (driver.Conn, error) { return recordedConn{r}, nil }
func (r *recorder) Driver() driver.Driver                        { return nil }

type recordedConn struct{ *recorder }

func (c recordedConn) Prepare(query string) (driver.Stmt, error) {
	return recordedStmt{c.recorder, query}, nil
}
func (recordedConn) Close() error                             { return nil }
func (recordedConn) Begin() (driver.Tx, error)                { return recordedTx{}, nil }
func (recordedConn) CheckNamedValue(*driver.NamedValue) error { return nil }

func (c recordedConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return recordedTx{}, nil
}

func (c recordedConn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return c.Prepare(query)
}

type recordedTx struct{}

func (recordedTx) Commit() error   { return nil }
func (recordedTx) Rollback() error { return nil }

type recordedStmt struct {
	*recorder
	text string
}

func (recordedStmt) Close() error                               { return nil }
func (recordedStmt) NumInput() int                              { return -1 }
func (recordedStmt) Exec([]driver.Value) (driver.Result, error) { panic("without a context") }
func (recordedStmt) Query([]driver.Value) (driver.Rows, error)  { panic("without a context") }
func (recordedStmt) CheckNamedValue(*driver.NamedValue) error   { return nil }
func (s recordedStmt) keep(args []driver.NamedValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, sentStatement{s.text, append([]driver.NamedValue(nil), args...)})
}

func (s recordedStmt) ExecContext(_ context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.keep(args)
	return driver.RowsAffected(1), nil
}

func (s recordedStmt) QueryContext(_ context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.keep(args)
	return noRows{}, nil
}

type noRows struct{}

func (noRows) Columns() []string         { return nil }
func (noRows) Close() error              { return nil }
func (noRows) Next([]driver.Value) error { return io.EOF }

// kindOf is the kind of column that a parameter may be compared with and use an index.
func kindOf(v driver.Value) string {
	switch v.(type) {
	case int64, int, bool:
		return "integer"
	case string, mssql.NVarCharMax:
		return "text"
	case []byte:
		return "bytes"
	case civil.DateTime, mssql.NullDateTime:
		return "time"
	default:
		return fmt.Sprintf("%T", v)
	}
}

var (
	tableOf   = regexp.MustCompile(`\b(?:FROM|UPDATE|INTO) (\w+)`)
	comparing = regexp.MustCompile(`\b(?:\w+\.)?\[?(\w+)\]?\s*(?:=|<>|<=|>=|<|>)\s*@p(\d+)`)
)

// mistyped tells which parameters of a statement have other types than the columns that
// they are compared with or set to.
func mistyped(tables map[string]map[string]column, s sentStatement) []string {
	var faults []string
	table := tables[""]
	if m := tableOf.FindStringSubmatch(s.text); m != nil {
		table = tables[m[1]]
	}
	for _, m := range comparing.FindAllStringSubmatch(s.text, -1) {
		c, ok := table[m[1]]
		number, err := strconv.Atoi(m[2])
		if !ok || err != nil || number > len(s.args) {
			continue
		}
		if kind := kindOf(s.args[number-1].Value); kind != c.kind {
			faults = append(faults, fmt.Sprintf("%s is %s, @p%d %s", m[1], c.kind, number, kind))
		}
	}
	for _, a := range s.args {
		if kind := kindOf(a.Value); strings.Contains(kind, ".") || strings.Contains(kind, "nil") {
			faults = append(faults, fmt.Sprintf("@p%d is a %s", a.Ordinal, kind))
		}
	}
	return faults
}

// TestParametersHaveTheTypesOfTheirColumns calls what the interface calls, and looks at
// what goes to the driver: SQL Server can't use an index whose column it has to convert.
func TestParametersHaveTheTypesOfTheirColumns(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	s, err := Open(t.Context(), "sqlserver://nowhere", Options{SQLServer: SQLServerOptions{Connector: r, RetryFor: time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	callEverything(t.Context(), s)
	tables := sqlServerTables(t)
	checked := 0
	for _, sent := range r.sent {
		for _, fault := range mistyped(tables, sent) {
			t.Errorf("%s\n%s", fault, sent.text)
		}
		for _, fault := range lint(sent.text) {
			t.Errorf("%s\n%s", fault, sent.text)
		}
		checked += len(comparing.FindAllString(sent.text, -1))
	}
	if len(r.sent) < 40 || checked < 80 {
		t.Errorf("only %d statements were sent, with %d comparisons", len(r.sent), checked)
	}
}

// callEverything calls the methods with arguments that set every parameter. What they
// answer to no rows does not matter.
func callEverything(ctx context.Context, s *Store) {
	at, id := time.Now(), mes.NewID()
	s.units.put(7, unitName{"s", "m"})
	scope := mes.Scope{Sites: []string{"a", "b"}, Machines: []string{"c", "d"}}
	position := &mes.Position{Time: at, ID: id}
	_ = s.Ping(ctx)
	_ = s.CheckSchema(ctx)
	_, _ = s.Record(ctx, id)
	for _, f := range []mes.RecordFilter{
		{SiteID: "s", MachineID: "m", DataType: mes.Quality, Door: mes.DoorMQTT, Status: mes.Idle, From: at, To: at, Scope: scope},
		{SiteID: "s", From: at, To: at, After: position},
		{MachineID: "m", After: position, Descending: true},
	} {
		_, _ = s.Records(ctx, f)
	}
	_, _ = s.Equipment(ctx, "s", "m")
	_, _ = s.KnowsEquipment(ctx, "s", "m")
	_, _ = s.EquipmentList(ctx, mes.EquipmentFilter{SiteID: "s", Level: mes.LevelSite, Door: mes.DoorMQTT, Scope: scope, AfterSiteID: "s", AfterID: "m"})
	_, _ = s.Latest(ctx, mes.LatestFilter{SiteID: "s", MachineID: "m", Scope: scope, AfterSiteID: "s", AfterMachineID: "m", AfterSignalID: "x", Signal: "y"})
	_, _ = s.QuarantineItem(ctx, id)
	_, _ = s.QuarantineState(ctx, id)
	_, _ = s.QuarantinedAmong(ctx, []mes.ID{id, id, id})
	_, _ = s.TableBefore(ctx, "t", "")
	_, _ = s.QuarantineItems(ctx, mes.QuarantineFilter{State: mes.QuarantineOpen, Door: mes.DoorMQTT, SiteID: "s", Scope: scope, After: id})
	_, _ = s.APIKeys(ctx)
	_, _ = s.APIKey(ctx, id)
	_, _ = s.APIKeyByPrefix(ctx, "p")
	_ = s.CreateAPIKey(ctx, mes.APIKey{ID: id, Prefix: "p", CreatedAt: at})
	_ = s.RevokeAPIKey(ctx, id, at)
	_ = s.ReplaceAPIKey(ctx, id, at, mes.APIKey{ID: id})
	_ = s.PutSites(ctx, []mes.Equipment{{SiteID: "s", ID: "s"}})
	_, _ = s.LastTime(ctx, "s", "m")
	_, _ = s.HasRecord(ctx, "s", "m", *position, true)
	_, _ = s.HasRecord(ctx, "s", "m", *position, false)
	_, _, _ = s.Delivery(ctx, journal.DeliveryName{Kind: journal.DeliveryKey, Key: "k"})
	unit := series.Unit{SiteID: "s", MachineID: "m"}
	_ = s.Samples(ctx, unit, nil, at, at.Add(time.Hour), func(series.Sample) error { return nil })
	for _, sketches := range []bool{false, true} {
		_ = s.Rollups(ctx, unit, "x", series.Hour, at, at.Add(time.Hour), sketches, func(series.Entry) error { return nil })
	}
	_, _ = s.DueMinutes(ctx, unit, at, at)
	_, _ = s.UnitsOfMeasure(ctx, unit, []string{"x", "y"})
	_, _ = s.DueMarks(ctx, series.Mark{Unit: unit, Minute: at}, at, 10)
	block := series.BlockOf(series.Hour, at)
	_ = s.UpdateRollups(ctx, func(tx series.RollupTx) error {
		_, _ = tx.ClearMark(ctx, series.Mark{Unit: unit, Minute: at})
		_, _, _ = tx.RollupBlock(ctx, unit, "x", block)
		return tx.PutRollupBlock(ctx, unit, "x", block, []byte{1}, []byte{2})
	})
	_, _, _, _ = s.ExpireRecords(ctx, 1, at, 10)
	_, _, _ = s.expiredUntil(ctx, 7, at, 10)
	_, _ = s.hasBefore(ctx, 7, at)
	l := lease.Lease{Name: "n", Owner: "o", Epoch: 1}
	_, _ = s.Leases(ctx, "p/")
	_, _, _ = s.ClaimLease(ctx, "n", "o", 0, time.Second)
	_, _ = s.RenewLease(ctx, l, time.Second)
	_, _, _ = s.ResumeLease(ctx, l, time.Second)
	_ = s.ReleaseLease(ctx, l)
	_, _ = s.NewestArrival(ctx)
	_, _ = s.ForgetDeliveries(ctx, LedgerKeep{Messages: time.Hour, Keys: time.Hour}, at, 10)
	_, _ = s.OldestArrival(ctx)
	_, _ = s.ConnectionDeliveries(ctx, "plant")
	_, _ = s.ForgetConnectionDeliveries(ctx, "retained ", 10, 2)
	_, _ = s.SparkplugBirths(ctx, "plant")
	_, _ = s.ConnectionNotes(ctx, "plant", "cursors-")
	_ = s.PutConnectionNote(ctx, "plant", "cursors", []byte("x"))
	birth := &mes.SparkplugBirth{Address: "g/n", Payload: []byte{1}, ReceivedAt: at}
	_ = s.ChangeSparkplugBirths(ctx, "plant", mes.SparkplugChange{Put: birth, Drop: []string{"g/n/d"}})
	_, _ = s.AuditEntry(ctx, id)
	_, _ = s.AuditEntries(ctx, mes.AuditFilter{Action: "a", Connection: "c", CreatedBy: "k", State: "done", Before: id, Limit: 1})
	_, _ = s.BeginAudit(ctx, mes.AuditEntry{ID: id, Action: "a", State: "pending", CreatedAt: at, Request: []byte("{}")}, nil)
	_ = s.FinishAudit(ctx, id, "done", at, "", []byte("{}"))
	_, _ = s.OPCUACursors(ctx, "press")
	_ = s.KeepOPCUACursors(ctx, "press", []mes.OPCUACursor{{Node: id, At: at, Gap: mes.OPCUAGap{From: at}}})
	_ = s.Skip(ctx, 3, l)
	_, _ = s.Follow(ctx, []int{3}, []lease.Lease{l}, 10, func(*Tx, *journal.Batch) error { return nil })
	for _, last := range []bool{false, true} {
		_ = s.Intake().Update(ctx, func(tx ingest.Tx) error {
			if last {
				tx.Last()
			}
			_ = tx.Prove(ctx, []mes.Ownership{l.Ownership()})
			r := mes.Record{ID: id, SiteID: "s", MachineID: "m", Time: at, Signals: []mes.Signal{{Name: "x", Value: mes.Int(1)}}}
			_, err := tx.AppendRecords(ctx, []mes.Record{r}, ingest.LedgerWindow{})
			return err
		})
	}
	_ = s.update(ctx, synced, func(t *Tx) error {
		_ = t.prove(ctx, l.Ownership())
		_ = t.exec(ctx, noteEpoch, "n")
		_, _ = t.overtaken(ctx, l.Ownership())
		row := &latestRow{SiteID: "s", MachineID: "m", HeadTime: timestamp{at.Add(time.Hour)}}
		t.units = map[unitName]int64{}
		_, _, _ = t.snapshotAfter(ctx, row, *position)
		_, _ = t.originNumber(ctx, mes.Origin{Door: mes.DoorREST, Address: "/data"})
		_ = t.putItem(ctx, &mes.QuarantineItem{ID: id, ReceivedAt: at, ResolvedAt: at, RecordID: id})
		_, _ = t.resolveItem(ctx, &mes.QuarantineItem{ID: id, ResolvedAt: at, RecordID: id})
		_ = t.exec(ctx, numberUnit, "s", "m")
		_ = t.putConnectionDeliveries(ctx, []mes.Delivery{{Connection: "plant", Name: "1", Number: 1}})
		_ = t.exec(ctx, forgetDelivery, "key", timestamp{at}, 4)
		return t.store.db.putDeliveries(ctx, t, []journal.Delivery{{DeliveryName: journal.DeliveryName{Kind: journal.DeliveryKey, Key: "k"}, ArrivedAt: at, RecordID: id}}, ingest.LedgerWindow{Now: at, MessagesSince: at, KeysSince: at})
	})
}

// TestTypeTestCanFail gives it the types that a driver would take as well.
func TestTypeTestCanFail(t *testing.T) {
	t.Parallel()
	tables := sqlServerTables(t)
	for name, s := range map[string]sentStatement{
		"time.Time":      {"SELECT 1 FROM record WHERE time = @p1", []driver.NamedValue{{Ordinal: 1, Value: time.Now()}}},
		"text for bytes": {"SELECT 1 FROM record WHERE id = @p1", []driver.NamedValue{{Ordinal: 1, Value: "0123456789abcdef"}}},
		"VARCHAR":        {"SELECT 1 FROM equipment WHERE site_id = @p1", []driver.NamedValue{{Ordinal: 1, Value: mssql.VarChar("s")}}},
		"untyped NULL":   {"UPDATE api_key SET expires_at = @p1", []driver.NamedValue{{Ordinal: 1, Value: nil}}},
	} {
		if len(mistyped(tables, s)) == 0 {
			t.Errorf("%s passes", name)
		}
	}
}
