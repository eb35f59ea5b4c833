// Package storetest is the contract of a store: the tests that every database
// behind it has to pass.
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/series"
)

// Store is what the contract covers.
type Store interface {
	ingest.Store
	series.Source
	series.RollupStore
	Ping(ctx context.Context) error
	Record(ctx context.Context, id mes.ID) (mes.Record, error)
	Records(ctx context.Context, f mes.RecordFilter) ([]mes.Record, error)
	PutSites(ctx context.Context, sites []mes.Equipment) error
	Equipment(ctx context.Context, siteID, id string) (mes.Equipment, error)
	EquipmentList(ctx context.Context, f mes.EquipmentFilter) ([]mes.Equipment, error)
	Latest(ctx context.Context, f mes.LatestFilter) ([]mes.Latest, error)
	QuarantineItems(ctx context.Context, f mes.QuarantineFilter) ([]mes.QuarantineItem, error)
	CreateAPIKey(ctx context.Context, key mes.APIKey) error
	APIKeys(ctx context.Context) ([]mes.APIKey, error)
	APIKey(ctx context.Context, id mes.ID) (mes.APIKey, error)
	APIKeyByPrefix(ctx context.Context, prefix string) (mes.APIKey, error)
	ConnectionDeliveries(ctx context.Context, connection string) ([]mes.Delivery, error)
	ForgetConnectionDeliveries(ctx context.Context, prefix string, keep, limit int) (removed int64, err error)
	SparkplugBirths(ctx context.Context, connection string) ([]mes.SparkplugBirth, error)
	ChangeSparkplugBirths(ctx context.Context, connection string, change mes.SparkplugChange) error
	ConnectionNotes(ctx context.Context, connection, prefix string) (map[string][]byte, error)
	PutConnectionNote(ctx context.Context, connection, name string, note []byte) error
	OPCUACursors(ctx context.Context, connection string) ([]mes.OPCUACursor, error)
	KeepOPCUACursors(ctx context.Context, connection string, cursors []mes.OPCUACursor) error
	RevokeAPIKey(ctx context.Context, id mes.ID, at time.Time) error
	ReplaceAPIKey(ctx context.Context, old mes.ID, oldExpires time.Time, key mes.APIKey) error
}

// Run runs the contract; open returns an empty store with the newest schema,
// and closes it at the end of the test.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"RecordRoundTrip":        testRecordRoundTrip,
		"RecordFilters":          testRecordFilters,
		"RecordPaging":           testRecordPaging,
		"PagingUnderInserts":     testPagingUnderInserts,
		"CaseAndUnicode":         testCaseAndUnicode,
		"TrailingSpaces":         testTrailingSpaces,
		"Duplicates":             testDuplicates,
		"RepeatedHour":           testRepeatedHour,
		"RepeatedHourMessageID":  testMessageIDInRepeatedHour,
		"MessageIDs":             testMessageIDs,
		"IdempotencyKeys":        testIdempotencyKeys,
		"ConnectionDeliveries":   testConnectionDeliveries,
		"ConnectionsForget":      testConnectionsForget,
		"LedgerForgets":          testLedgerForgets,
		"LongTexts":              testLongTexts,
		"ParallelOverlap":        testParallelOverlap,
		"Rollback":               testRollback,
		"ReadsAfterCommit":       testReadsAfterCommit,
		"Equipment":              testEquipment,
		"Sites":                  testSites,
		"Latest":                 testLatest,
		"LatestKeepsValues":      testLatestKeepsValues,
		"LatestOfSnapshots":      testLatestOfSnapshots,
		"LatestConverges":        testLatestConverges,
		"Samples":                testSamples,
		"DueMinutes":             testDueMinutes,
		"RollupBlocks":           testRollupBlocks,
		"Series":                 testSeries,
		"Quarantine":             testQuarantine,
		"QuarantineResolvedOnce": testQuarantineResolvedOnce,
		"SparkplugBirths":        testSparkplugBirths,
		"ConnectionNotes":        testConnectionNotes,
		"Audit":                  testAudit,
		"OPCUACursors":           testOPCUACursors,
		"APIKeys":                testAPIKeys,
		"APIKeyReplaced":         testAPIKeyReplaced,
		"Outbox":                 testOutbox,
		"OutboxRetained":         testOutboxRetained,
		"OutboxFenced":           testOutboxFenced,
		"CommandRequests":        testCommandRequests,
		"CommandReplies":         testCommandReplies,
		"CommandReplyBatches":    testCommandReplyBatches,
		"CommandCancelled":       testCommandCancelled,
		"CommandLists":           testCommandLists,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// Window is a ledger window of a week and a day that ends at now.
func Window(now time.Time) ingest.LedgerWindow {
	now = mes.Micros(now)
	return ingest.LedgerWindow{Now: now, MessagesSince: now.Add(-7 * 24 * time.Hour), KeysSince: now.Add(-24 * time.Hour)}
}

// NewRecord returns a record with one signal, identified by its content.
func NewRecord(site, machine string, at time.Time) mes.Record {
	at = mes.Micros(at)
	r := mes.Record{
		SiteID: site, MachineID: machine, DataType: mes.Telemetry, Time: at, TimeOrigin: mes.TimeSource,
		ReceivedAt: at.Add(time.Second), Origin: mes.Origin{Door: mes.DoorREST},
		Signals: []mes.Signal{{Name: "temperature", Value: mes.Int(20), Unit: "°C"}},
	}
	r.Identify(mes.ID{})
	return r
}

// Append appends the records in one commit, as ingest does.
func Append(t testing.TB, s ingest.Store, records ...mes.Record) []mes.Receipt {
	t.Helper()
	return AppendAt(t, s, time.Now(), records...)
}

// AppendAt is Append with the time of the commit.
func AppendAt(t testing.TB, s ingest.Store, now time.Time, records ...mes.Record) []mes.Receipt {
	t.Helper()
	receipts, err := appendRecords(t.Context(), s, Window(now), records)
	if err != nil {
		t.Fatal(mes.WithCauses(err))
	}
	return receipts
}

func appendRecords(ctx context.Context, s ingest.Store, window ingest.LedgerWindow, records []mes.Record) (receipts []mes.Receipt, err error) {
	err = s.Update(ctx, func(tx ingest.Tx) error {
		receipts, err = tx.AppendRecords(ctx, records, window)
		return err
	})
	return receipts, err
}

// CompareRecords compares what a store keeps of a record: not the other reading
// of a repeated hour, nor what belongs to the request.
func CompareRecords() cmp.Options {
	return cmp.Options{
		cmpopts.IgnoreFields(mes.Record{}, "AltTime", "Idempotency", "Owner", "Fault", "Answerable"),
		cmpopts.EquateEmpty(),
		cmp.AllowUnexported(mes.Value{}),
	}
}
