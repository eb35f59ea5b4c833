package store

import (
	"context"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// Intake commits what comes in to the database itself, with no log before it: for a
// database that several servers share, where whatever one has acknowledged must be
// there for all. It implements ingest.Store. What follows from records is brought up
// to date behind it, by whoever owns their lane (see Follow).
type Intake struct{ store *Store }

// Intake returns the store as what ingest commits to.
func (s *Store) Intake() Intake { return Intake{s} }

// Update implements ingest.Store. fn may run more than once.
func (i Intake) Update(ctx context.Context, fn func(ingest.Tx) error) error {
	return i.store.update(ctx, manner{intake: true}, func(t *Tx) error { return fn(&intakeTx{Tx: t}) })
}

// Room implements ingest.Store: whoever commits waits for the database, which is all
// that slows intake.
func (i Intake) Room() <-chan struct{} { return nil }

// QuarantineItem implements ingest.Store.
func (i Intake) QuarantineItem(ctx context.Context, id mes.ID) (mes.QuarantineItem, error) {
	return i.store.QuarantineItem(ctx, id)
}

// KnowsEquipment implements ingest.Store.
func (i Intake) KnowsEquipment(ctx context.Context, siteID, id string) (bool, error) {
	return i.store.KnowsEquipment(ctx, siteID, id)
}

// Lanes is how many parts the work units are dealt into, for what follows from their
// records: by their numbers, which are the same for every server.
const Lanes = 16

// intakeTx implements ingest.Tx.
type intakeTx struct {
	*Tx
	// last is set when nothing but records comes, by the rights of owners.
	last   bool
	owners []mes.Ownership
}

// Last implements ingest.Tx.
func (t *intakeTx) Last() { t.last = true }

// Prove implements ingest.Tx.
func (t *intakeTx) Prove(ctx context.Context, owners []mes.Ownership) error {
	if t.last { // with the records
		t.owners = owners
		return nil
	}
	return t.prove(ctx, owners...)
}

// AppendRecords implements ingest.Tx.
func (t *intakeTx) AppendRecords(ctx context.Context, records []mes.Record, window ingest.LedgerWindow) ([]mes.Receipt, error) {
	if len(records) == 0 {
		return nil, nil
	}
	c := newCandidates(records, window)
	if err := t.lookUp(ctx, c); err != nil {
		return nil, t.store.db.writeFault(err, "look up what came before")
	}
	if err := c.decide(func(id mes.ID) (mes.Record, error) { return t.store.storedRecord(ctx, id) }); err != nil {
		return nil, err
	}
	if err := t.insert(ctx, c); err != nil {
		return nil, t.store.db.writeFault(err, "store records")
	}
	if err := t.store.db.putDeliveries(ctx, t.Tx, c.settle(), window); err != nil {
		return nil, t.store.db.writeFault(err, "keep deliveries")
	}
	return c.receipts, nil
}

// lookUp fetches what the ledger says of the names in the batch, and which of the ids
// are there whose records can't be taken for new by themselves.
func (t *intakeTx) lookUp(ctx context.Context, c *candidates) error {
	deliveries, err := selectEach[namedDeliveryRow](ctx, t.Tx, deliveriesByName, c.names(t.store.db))
	if err != nil {
		return err
	}
	for i := range deliveries {
		d := deliveries[i].toDomain()
		d.Key = t.store.db.ofKey(d.Key)
		c.ledger[d.DeliveryName] = delivered{Delivery: d, by: none}
	}
	ids, err := selectEach[uuid](ctx, t.Tx, recordsByID, c.doubtful())
	for _, id := range ids {
		c.present[mes.ID(id)] = none
	}
	return err
}

// insert stores the candidates, and takes back those that were there.
func (t *intakeTx) insert(ctx context.Context, c *candidates) error {
	if len(c.places) == 0 {
		return nil
	}
	if err := t.numberUnits(ctx, c); err != nil {
		return err
	}
	rows := make([]arrivalRow, len(c.places))
	for i, place := range c.places {
		r := &c.records[place]
		origin, err := t.originNumber(ctx, r.Origin)
		if err != nil {
			return err
		}
		rows[i] = arrivalRow{record: r, unit: t.units[unitName{r.SiteID, r.MachineID}], origin: origin}
	}
	created, err := t.store.db.insertRecords(ctx, t, rows)
	if err != nil {
		return err
	}
	return c.takeBack(created)
}

// numberUnits registers the work units that are new, and finds the numbers of all.
func (t *intakeTx) numberUnits(ctx context.Context, c *candidates) error {
	t.units, t.registered = map[unitName]int64{}, map[unitName]int64{}
	batch := journal.Batch{Group: journal.Group{Records: c.chosen()}}
	var unknown []sighting
	for _, u := range batch.Units() {
		name := unitName{u.SiteID, u.MachineID}
		if number, ok := t.store.units.byName(name); ok {
			t.units[name] = number
			continue
		}
		unknown = append(unknown, sightingOf(&batch, u))
	}
	if len(unknown) == 0 {
		return nil
	}
	return t.store.db.registerUnits(ctx, t.Tx, unknown)
}

// arrivalRow is a record on its way into the tables.
type arrivalRow struct {
	record       *mes.Record
	unit, origin int64
}

// AppendDeliveries implements ingest.Tx.
func (t *intakeTx) AppendDeliveries(ctx context.Context, list []mes.Delivery) error {
	return t.store.db.writeFault(t.putConnectionDeliveries(ctx, list), "note what came by a connection")
}

// AppendQuarantine implements ingest.Tx.
func (t *intakeTx) AppendQuarantine(ctx context.Context, items []mes.QuarantineItem) error {
	for i := range items {
		if err := t.putItem(ctx, &items[i]); err != nil {
			return t.store.db.writeFault(err, "quarantine an item")
		}
	}
	return nil
}

// ResolveQuarantine implements ingest.Tx: of several that resolve an item at once, the
// first wins.
func (t *intakeTx) ResolveQuarantine(ctx context.Context, item mes.QuarantineItem) error {
	n, err := t.resolveItem(ctx, &item)
	if err == nil && n == 0 {
		return mes.Errorf(mes.CodeConflict, "the quarantined item %s is not open", item.ID)
	}
	return t.store.db.writeFault(err, "resolve a quarantined item")
}

// selectEach reads the rows that a statement has for each list of arguments.
func selectEach[R any](ctx context.Context, t *Tx, s statement, arguments [][]any) ([]R, error) {
	if len(arguments) == 0 {
		return nil, nil
	}
	var all []R
	if server, ok := t.session.(*sqlServerSession); ok {
		return all, server.selectBulk(&all, s, arguments)
	}
	for _, args := range arguments {
		var rows []R
		if err := t.selectAll(ctx, &rows, s, args...); err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

var (
	// The arguments are kind, site, machine and key of a name.
	deliveriesByName = statement{
		sqlite: `SELECT kind, site_id, machine_id, key, hash, record_id, status, arrived_at FROM delivery
			WHERE kind = ? AND site_id = ? AND machine_id = ? AND key = ?`,
		sqlserver: `SELECT d.kind, d.site_id, d.machine_id, d.[key], d.hash, d.record_id, d.status, d.arrived_at
			FROM ` + rowsOf("kind NVARCHAR(10)", "site_id NVARCHAR(128)", "machine_id NVARCHAR(128)", "key NVARCHAR(400)") + `
			JOIN delivery AS d ON d.kind = j.kind AND d.site_id = j.site_id AND d.machine_id = j.machine_id AND d.[key] = j.[key]`,
	}
	// The arguments are an id, and the bounds of the time that it begins with.
	recordsByID = statement{
		sqlite: "SELECT id FROM record INDEXED BY record_by_time WHERE id = ? AND time >= ? AND time < ?",
		sqlserver: "SELECT r.id FROM " + rowsOf("id BINARY(16)", "from_time DATETIME2(6)", "to_time DATETIME2(6)") + `
			JOIN record AS r ON r.id = j.id`,
	}
)

// namedDeliveryRow is an entry of the delivery ledger with its name.
type namedDeliveryRow struct {
	Kind      journal.DeliveryKind `db:"kind"`
	SiteID    string               `db:"site_id"`
	MachineID string               `db:"machine_id"`
	Key       string               `db:"key"`
	deliveryRow
}

func (r *namedDeliveryRow) toDomain() journal.Delivery {
	return journal.Delivery{
		DeliveryName: journal.DeliveryName{Kind: r.Kind, SiteID: r.SiteID, MachineID: r.MachineID, Key: r.Key},
		Hash:         r.Hash, RecordID: mes.ID(r.RecordID), Status: r.Status, ArrivedAt: r.ArrivedAt.Time,
	}
}
