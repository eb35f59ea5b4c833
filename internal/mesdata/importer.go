package mesdata

import (
	"context"
	"errors"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// Decoder makes a record of the bytes of one message.
type Decoder interface {
	DecodeOne(src ingest.Source, body []byte, rec *mes.Record)
}

// Quarantine tells which items it has.
type Quarantine interface {
	QuarantinedAmong(ctx context.Context, ids []mes.ID) (map[mes.ID]struct{}, error)
}

// Options are what an import needs. Zone, Clock and Progress may be left out.
type Options struct {
	Table      Table
	Decoder    Decoder
	Ingester   ingest.Ingester
	Quarantine Quarantine
	Sites      *ingest.Sites
	// SourceTime means that the time column has the times of the machines, else it has
	// those of receipt.
	SourceTime bool
	// Zone is of times without an offset; nil is that of the site, and in the time column
	// that of the default site.
	Zone *time.Location
	// Progress is called now and then with what was done so far.
	Progress func(Summary)
	// Every is the time between two calls of Progress; 0 means 5 s.
	Every time.Duration
	Clock func() time.Time
}

// Summary counts rows. Known are those that an earlier run put in quarantine.
type Summary struct {
	Read, Created, Duplicates, Quarantined, Known int64
}

// A part is handed over when it has so many rows, or bytes.
const (
	rowsAtOnce  = 1000
	bytesAtOnce = 4 << 20
)

const defaultEvery = 5 * time.Second

// Import hands over every row of the table, and returns what became of them, as far as it
// got. It may be run again at any time.
func Import(ctx context.Context, o Options) (Summary, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	i := &importer{Options: o, layout: o.Table.Layout(), told: o.Clock(), zone: o.Zone}
	if i.zone == nil {
		i.zone, _ = o.Sites.Zone(o.Sites.Default)
	}
	err := i.Table.Each(ctx, func(row Row) error { return i.take(ctx, row) })
	if err == nil {
		err = i.handOver(ctx)
	}
	return i.done, err
}

type importer struct {
	Options
	layout Layout
	zone   *time.Location // of the time column
	done   Summary
	told   time.Time
	batch  []mes.Record
	bytes  int
}

func (i *importer) take(ctx context.Context, row Row) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	i.batch = append(i.batch, i.record(row))
	i.bytes += len(row.Payload)
	if len(i.batch) < rowsAtOnce && i.bytes < bytesAtOnce {
		return nil
	}
	return i.handOver(ctx)
}

// handOver commits what was gathered.
func (i *importer) handOver(ctx context.Context) error {
	if len(i.batch) == 0 {
		return nil
	}
	ids := make([]mes.ID, len(i.batch))
	for n := range i.batch {
		ids[n] = i.batch[n].QuarantineID
	}
	known, err := i.Quarantine.QuarantinedAmong(ctx, ids)
	if err != nil {
		return err
	}
	receipts, err := i.Ingester.Ingest(ctx, i.batch)
	if err != nil {
		return err
	}
	for _, r := range receipts {
		i.done.Read++
		switch _, again := known[r.ID]; {
		case r.Status == mes.ReceiptCreated:
			i.done.Created++
		case r.Status == mes.ReceiptDuplicate:
			i.done.Duplicates++
		case r.Status == mes.ReceiptQuarantined && again:
			i.done.Known++
		case r.Status == mes.ReceiptQuarantined:
			i.done.Quarantined++
		default:
			return errors.New("a row is neither stored nor in quarantine: " + string(r.Status))
		}
	}
	// The receipts may refer to the batch, which is not used again.
	i.batch, i.bytes = make([]mes.Record, 0, rowsAtOnce), 0
	i.tell()
	return nil
}

func (i *importer) tell() {
	if now := i.Clock(); i.Progress != nil && now.Sub(i.told) >= i.Every {
		i.told = now
		i.Progress(i.done)
	}
}

// record makes a record of a row: what its payload says comes first, and its other columns
// fill what that leaves out.
func (i *importer) record(row Row) mes.Record {
	now := i.Clock()
	column := i.columnTime(&row, now)
	src := ingest.Source{
		Origin: mes.Origin{Door: mes.DoorImport, Connection: i.layout.Table, Format: string(ingest.FormatPayload)},
		SiteID: row.SiteID, MachineID: row.MachineID, DataType: mes.DataType(row.DataType),
		Zone: i.Zone, ReceivedAt: now,
	}
	if !i.SourceTime && column.isBefore(now) {
		src.ReceivedAt = column.at
	}
	var rec mes.Record
	i.Decoder.DecodeOne(src, row.Payload, &rec)
	if rec.Fault == nil && rec.Time.IsZero() {
		i.fillTime(&rec, &row, column)
	}
	if rec.Fault != nil {
		rec.Origin.Address = row.Key
	}
	if rec.Time.IsZero() && column.isBefore(now) {
		rec.ReceivedAt = column.at
	}
	known := rec.Time
	if known.IsZero() {
		known = column.at
	}
	rec.QuarantineID = mes.DerivedID(known, "plantgate import "+row.name(i.layout.Table))
	return rec
}

// columnTime is what the time column of a row says. at is zero if it says nothing.
type columnTime struct {
	at, alternative time.Time
	fault           string
}

func (c *columnTime) isBefore(t time.Time) bool { return !c.at.IsZero() && c.at.Before(t) }

func (i *importer) columnTime(row *Row, now time.Time) columnTime {
	switch {
	case i.layout.Time == "":
		return columnTime{fault: "is missing, and the table has no column of times"}
	case row.Time.Text == "":
		return columnTime{fault: "is missing, and the column " + i.layout.Time + " is empty"}
	}
	at, alternative, err := ingest.ParseTime(row.Time.Text, row.Time.IsNumber, i.zone, now)
	if err != nil {
		return columnTime{fault: "is missing, and the column " + i.layout.Time + " " + err.Error()}
	}
	return columnTime{at: at, alternative: alternative}
}

// fillTime gives the time of its column to a record whose payload has none. The row is the
// message then: two rows of the same content and time are two. Without any time it can't
// be accepted: that of the import would be none.
func (i *importer) fillTime(rec *mes.Record, row *Row, column columnTime) {
	if column.fault != "" {
		rec.Fault = mes.Invalid([]mes.FieldError{{Pointer: "/timestamp", Detail: column.fault}})
		return
	}
	rec.Time, rec.AltTime = column.at, column.alternative
	if i.SourceTime {
		rec.TimeOrigin = mes.TimeSource
	}
	if column.isBefore(rec.ReceivedAt) {
		rec.ReceivedAt = column.at
	}
	if !rec.AltTime.IsZero() {
		rec.Flags = append(rec.Flags, mes.FlagRepeatedHour)
	}
	if rec.MessageID == "" {
		rec.MessageID = row.name(i.layout.Table)
	}
}
