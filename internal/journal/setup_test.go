package journal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"
	"time"

	"go.uber.org/goleak"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// index is a store in memory.
type index struct {
	records              map[mes.ID]mes.Record
	deliveries           map[journal.DeliveryName]journal.Delivery
	items                map[mes.ID]mes.QuarantineItem
	connectionDeliveries []mes.Delivery
	applied              journal.Applied
	lookups              int // of records
}

func newIndex() *index {
	return &index{
		records: map[mes.ID]mes.Record{}, deliveries: map[journal.DeliveryName]journal.Delivery{},
		items: map[mes.ID]mes.QuarantineItem{},
	}
}

// apply takes a batch over.
func (x *index) apply(b *journal.Batch) {
	for _, r := range b.Records {
		x.records[r.ID] = r
	}
	for _, d := range b.Deliveries {
		x.deliveries[d.DeliveryName] = d
	}
	x.connectionDeliveries = append(x.connectionDeliveries, b.ConnectionDeliveries...)
	for _, i := range append(b.Items, b.Resolved...) {
		x.items[i.ID] = i
	}
	x.applied.Position, x.applied.Arrivals = b.To, max(x.applied.Arrivals, b.Arrivals())
}

func (x *index) LastTime(_ context.Context, siteID, machineID string) (last time.Time, err error) {
	for r := range maps.Values(x.records) {
		if r.SiteID == siteID && r.MachineID == machineID && r.Time.After(last) {
			last = r.Time
		}
	}
	return last, nil
}

func (x *index) HasRecord(_ context.Context, siteID, machineID string, at mes.Position, exact bool) (bool, error) {
	x.lookups++
	r, ok := x.records[at.ID]
	found := ok && r.SiteID == siteID && r.MachineID == machineID && (!exact || r.Position().Compare(at) == 0)
	return found, nil
}

func (x *index) Record(_ context.Context, id mes.ID) (mes.Record, error) {
	if r, ok := x.records[id]; ok {
		return r, nil
	}
	return mes.Record{}, mes.Errorf(mes.CodeNotFound, "there is no record %s", id)
}

func (x *index) Delivery(_ context.Context, name journal.DeliveryName) (journal.Delivery, bool, error) {
	d, ok := x.deliveries[name]
	return d, ok, nil
}

func (x *index) ConnectionDeliveries(_ context.Context, connection string) (list []mes.Delivery, _ error) {
	for _, m := range x.connectionDeliveries {
		if m.Connection == connection {
			list = append(list, m)
		}
	}
	return mes.NewestDeliveries(list), nil
}

func (x *index) QuarantineState(_ context.Context, id mes.ID) (mes.QuarantineState, error) {
	return x.items[id].State, nil
}

func (x *index) QuarantineItem(_ context.Context, id mes.ID) (mes.QuarantineItem, error) {
	return x.items[id], nil
}

func (x *index) KnowsEquipment(context.Context, string, string) (bool, error) { return true, nil }

// plant is a journal over a log and a store, neither of which applies by itself.
type plant struct {
	*journal.Journal
	t       testing.TB
	folder  string
	index   *index
	log     *wal.Log
	options journal.Options
}

// plenty is room enough.
func plenty() journal.Options { return journal.Options{MaxRecords: 1 << 20, MaxBytes: 1 << 30} }

func open(t testing.TB, options journal.Options) *plant {
	t.Helper()
	p := &plant{t: t, folder: t.TempDir(), index: newIndex(), options: options}
	p.start()
	t.Cleanup(p.stop)
	return p
}

func (p *plant) start() {
	p.t.Helper()
	var err error
	if p.log, err = wal.Open(p.folder, wal.Options{SegmentSize: 16 << 10}); err != nil {
		p.t.Fatal(err)
	}
	p.index.applied = journal.Begin(p.log, p.index.applied)
	if p.Journal, err = journal.Open(context.Background(), p.log, p.index, p.index.applied, p.options); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) stop() {
	p.t.Helper()
	if err := p.log.Close(); err != nil {
		p.t.Error(err)
	}
}

func (p *plant) restart() {
	p.t.Helper()
	p.stop()
	p.start()
}

// apply takes what is committed over, in batches of about so many records.
func (p *plant) apply(maxRecords, maxBatches int) {
	p.t.Helper()
	r := p.Reader(p.index.applied.Position)
	for range maxBatches {
		var b journal.Batch
		err := r.Next(&b, maxRecords, 1<<20)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			p.t.Fatal(err)
		}
		b.Skip(p.index.applied.Arrivals)
		p.index.apply(&b)
		p.Applied(&b)
	}
}

// all returns everything that the log holds from the beginning.
func (p *plant) all() (all journal.Batch) {
	p.t.Helper()
	err := p.Reader(p.log.First()).Next(&all, 1<<30, 1<<30)
	if err != nil && !errors.Is(err, io.EOF) {
		p.t.Fatal(err)
	}
	return all
}

// now is the time of every commit of the tests.
func now() time.Time { return time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC) }

func window() ingest.LedgerWindow {
	return ingest.LedgerWindow{Now: now(), MessagesSince: now().Add(-time.Hour), KeysSince: now().Add(-time.Hour)}
}

// add commits records and returns their receipts.
func (p *plant) add(records ...mes.Record) (receipts []mes.Receipt, err error) {
	err = p.Update(context.Background(), func(tx ingest.Tx) error {
		receipts, err = tx.AppendRecords(context.Background(), records, window())
		return err
	})
	return receipts, err
}

func (p *plant) mustAdd(records ...mes.Record) []mes.Receipt {
	p.t.Helper()
	receipts, err := p.add(records...)
	if err != nil {
		p.t.Fatal(err)
	}
	return receipts
}

// record is the n-th reading of a machine.
func record(machine string, n int) mes.Record {
	r := mes.Record{
		SiteID: "s", MachineID: machine, DataType: mes.Telemetry, TimeOrigin: mes.TimeSource,
		Time: now().Add(time.Duration(n) * time.Second), ReceivedAt: now(), Origin: mes.Origin{Door: mes.DoorREST},
		Signals: []mes.Signal{{Name: "n", Value: mes.Int(int64(n))}},
		Payload: fmt.Appendf(nil, `{"n":%d}`, n),
	}
	r.Identify(mes.ID{})
	return r
}

// message is the same with a message id.
func message(machine, id string, n int) mes.Record {
	r := record(machine, n)
	r.MessageID = id
	r.Identify(mes.ID{})
	return r
}

// keyed is the same with an idempotency key.
func keyed(key string, body byte, n int) mes.Record {
	r := record("keyed", n)
	r.Idempotency = &mes.Idempotency{Key: key, Body: [32]byte{body}}
	return r
}
