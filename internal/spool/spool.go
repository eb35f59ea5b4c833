// Package spool keeps what comes in while the shared database is away, in a log on this
// server's disk, and brings it there when it is back. What is in the log is durable, and
// is answered as accepted: its id is final, and whether it is new shows later.
package spool

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// Database is what is away at times.
type Database interface {
	ingest.Store
	// Ping tells whether it can be used.
	Ping(ctx context.Context) error
	// APIKeyByPrefix looks an API key up by its public part.
	APIKeyByPrefix(ctx context.Context, prefix string) (mes.APIKey, error)
	// ConnectionDeliveries are what came by a connection.
	ConnectionDeliveries(ctx context.Context, connection string) ([]mes.Delivery, error)
}

// Options are the settings of a Spool. The zero value of a field means its default.
type Options struct {
	// Every is how often it is looked whether the database is back; 0 means 1 s.
	Every time.Duration
	// LongestRest is how long at most a database is left alone that answers and takes
	// nothing, as one does in which another server holds a lock: what comes in meanwhile
	// goes to the log at once. 0 means 30 s.
	LongestRest time.Duration
	// Known remembers what intake needs to know without the database; it is required.
	Known *Known
	// Hold tells whether what comes in is to be kept in the log although the database is
	// there; nil means never.
	Hold   func() bool
	Logger *slog.Logger
}

// Spool implements ingest.Store over a database that may be away.
type Spool struct {
	db      Database
	journal *journal.Journal
	opts    Options

	mu    sync.Mutex
	since time.Time // when the database went away; zero while it is there
	// rest is how long it is left alone before it is looked for. It is long where a
	// database answered and then did not take what it was given.
	rest time.Duration
	// proven means that the database has taken something since it was last back.
	proven bool
	// asking are the ends of look-ups that wait for the database.
	asking map[*context.CancelFunc]struct{}
}

// New returns a spool over a journal that is not used for anything else. While Run is
// not under way nobody looks whether the database is back.
func New(db Database, j *journal.Journal, o Options) *Spool {
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.LongestRest == 0 {
		o.LongestRest = 30 * time.Second
	}
	if o.Hold == nil {
		o.Hold = func() bool { return false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Spool{db: db, journal: j, opts: o, proven: true, asking: map[*context.CancelFunc]struct{}{}}
}

// AwaySince is when the database went away; zero while it is there.
func (s *Spool) AwaySince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since
}

func (s *Spool) isAway() bool { return !s.AwaySince().IsZero() }

func (s *Spool) setAway(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		s.since = time.Now()
		if s.proven {
			s.rest = 0
		} else {
			s.rest = min(max(2*s.rest, s.opts.Every), s.opts.LongestRest)
		}
		s.proven = false
		for end := range s.asking {
			(*end)()
		}
		s.opts.Logger.Warn("the database is away; what comes in is kept here", slog.String("error", mes.WithCauses(cause)))
	}
}

func (s *Spool) setBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return
	}
	s.opts.Logger.Info("the database is back", slog.Duration("away", time.Since(s.since)), slog.Int64("records", s.journal.Pending()))
	s.since = time.Time{}
}

// prove notes that the database has taken something.
func (s *Spool) prove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proven = true
}

// isDue tells whether it is time to look whether the database is back.
func (s *Spool) isDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.since.IsZero() && time.Since(s.since) >= s.rest
}

// whileThere returns a context that ends when the database goes away: others find out
// first that it is silent.
func (s *Spool) whileThere(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() { // it went away just now
		end()
	}
	s.asking[&end] = struct{}{}
	return ctx, func() {
		s.mu.Lock()
		delete(s.asking, &end)
		s.mu.Unlock()
		end()
	}
}

// Run looks whether the database is back, until ctx ends.
func (s *Spool) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.opts.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		if s.isDue() {
			s.look(ctx)
		}
	}
}

// look looks whether the database is back.
func (s *Spool) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, longestLook)
	defer cancel()
	if err := s.db.Ping(ctx); err == nil {
		s.setBack()
	}
}

// longestLook is how long a database may take to say that it is back.
const longestLook = 5 * time.Second

// Update implements ingest.Store: in the database, and while that is away in the log.
func (s *Spool) Update(ctx context.Context, fn func(ingest.Tx) error) error {
	if !s.isAway() && !s.opts.Hold() {
		err := s.db.Update(ctx, func(tx ingest.Tx) error { return fn(draining{tx, s.journal}) })
		if !errors.Is(err, mes.ErrStoreAway) {
			s.prove()
			return err
		}
		s.setAway(err)
	}
	return s.journal.Update(ctx, func(tx ingest.Tx) error { return fn(accepting{tx}) })
}

// Room implements ingest.Store.
func (s *Spool) Room() <-chan struct{} {
	if s.isAway() || s.opts.Hold() {
		return s.journal.Room()
	}
	return s.db.Room()
}

// Backlog is how many records are not in the database yet, and whether there is room
// for more.
func (s *Spool) Backlog() (records int64, room bool) {
	return s.journal.Pending(), s.journal.Room() == nil && s.journal.Refused() == nil
}

// QuarantineItem implements ingest.Store.
func (s *Spool) QuarantineItem(ctx context.Context, id mes.ID) (mes.QuarantineItem, error) {
	return s.db.QuarantineItem(ctx, id)
}

// KnowsEquipment implements ingest.Store: while the database is away, by what was known
// before.
func (s *Spool) KnowsEquipment(ctx context.Context, siteID, id string) (bool, error) {
	if s.isAway() {
		return s.opts.Known.equipment(siteID, id), nil
	}
	there, cancel := s.whileThere(ctx)
	defer cancel()
	known, err := s.db.KnowsEquipment(there, siteID, id)
	if errors.Is(err, mes.ErrStoreAway) {
		s.setAway(err)
	}
	if err != nil && s.isAway() {
		return s.opts.Known.equipment(siteID, id), nil
	}
	if err == nil && known {
		s.opts.Known.addEquipment(siteID, id)
	}
	return known, err
}

// APIKeyByPrefix looks an API key up, while the database is away among those that were
// used before. A key that was withdrawn meanwhile is known for what it is once the
// database is back.
func (s *Spool) APIKeyByPrefix(ctx context.Context, prefix string) (mes.APIKey, error) {
	before, known := s.opts.Known.key(prefix)
	if known && s.isAway() {
		return before, nil
	}
	there, cancel := s.whileThere(ctx)
	defer cancel()
	key, err := s.db.APIKeyByPrefix(there, prefix)
	switch {
	case err == nil:
		s.opts.Known.setKey(key)
	case mes.ErrorCode(err) == mes.CodeNotFound:
		if known {
			s.opts.Known.dropKey(prefix)
		}
	default:
		if errors.Is(err, mes.ErrStoreAway) {
			s.setAway(err)
		}
		if known && s.isAway() {
			return before, nil
		}
	}
	return key, err
}

// draining answers what repeats a request that is still on its way from the log into the
// database, where nobody knows of it yet.
type draining struct {
	ingest.Tx
	journal *journal.Journal
}

// AppendRecords implements ingest.Tx.
func (t draining) AppendRecords(ctx context.Context, records []mes.Record, window ingest.LedgerWindow) ([]mes.Receipt, error) {
	receipts := make([]mes.Receipt, len(records))
	places, others := make([]int, 0, len(records)), records[:0:0]
	for i := range records {
		if receipt, repeats := t.repeats(&records[i], window); repeats {
			receipts[i] = receipt
			continue
		}
		places, others = append(places, i), append(others, records[i])
	}
	if len(others) == len(records) {
		return t.Tx.AppendRecords(ctx, records, window)
	}
	list, err := t.Tx.AppendRecords(ctx, others, window)
	for i := range list {
		receipts[places[i]] = list[i]
	}
	return receipts, err
}

func (t draining) repeats(r *mes.Record, window ingest.LedgerWindow) (mes.Receipt, bool) {
	if r.Idempotency == nil {
		return mes.Receipt{}, false
	}
	first, found := t.journal.PendingDelivery(journal.DeliveryName{Kind: journal.DeliveryKey, Key: r.Idempotency.Key})
	switch {
	case !found || !first.ArrivedAt.After(window.KeysSince):
		return mes.Receipt{}, false
	case first.Hash != r.Idempotency.Body:
		return mes.Receipt{Status: mes.ReceiptRejected, Fault: mes.Errorf(mes.CodeInvalid, "%w", mes.ErrKeyReused)}, true
	default:
		return mes.Receipt{Status: mes.ReceiptAccepted, ID: first.RecordID, Repeated: true}, true
	}
}

// accepting says of what it appends that it is accepted: whether it is new can't be
// known yet.
type accepting struct{ ingest.Tx }

// AppendRecords implements ingest.Tx.
func (t accepting) AppendRecords(ctx context.Context, records []mes.Record, window ingest.LedgerWindow) ([]mes.Receipt, error) {
	receipts, err := t.Tx.AppendRecords(ctx, records, window)
	for i := range receipts {
		if receipts[i].Fault == nil {
			receipts[i].Status = mes.ReceiptAccepted
		}
	}
	return receipts, err
}

// ResolveQuarantine implements ingest.Tx: it can't be known which items are open.
func (t accepting) ResolveQuarantine(context.Context, mes.QuarantineItem) error {
	return mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "the database can't be reached; try again")
}

// Blind is the index of a journal that has no store to look into.
type Blind struct{}

// LastTime implements journal.Index.
func (Blind) LastTime(context.Context, string, string) (time.Time, error) { return time.Time{}, nil }

// HasRecord implements journal.Index.
func (Blind) HasRecord(context.Context, string, string, mes.Position, bool) (bool, error) {
	return false, nil
}

// Record implements journal.Index.
func (Blind) Record(_ context.Context, id mes.ID) (mes.Record, error) {
	return mes.Record{}, mes.Errorf(mes.CodeNotFound, "there is no record %s", id)
}

// Delivery implements journal.Index.
func (Blind) Delivery(context.Context, journal.DeliveryName) (journal.Delivery, bool, error) {
	return journal.Delivery{}, false, nil
}

// ConnectionDeliveries implements journal.Index.
func (Blind) ConnectionDeliveries(context.Context, string) ([]mes.Delivery, error) { return nil, nil }

// QuarantineState implements journal.Index.
func (Blind) QuarantineState(context.Context, mes.ID) (mes.QuarantineState, error) { return "", nil }

// QuarantineItem implements journal.Index.
func (Blind) QuarantineItem(context.Context, mes.ID) (mes.QuarantineItem, error) {
	return mes.QuarantineItem{}, mes.Wrap(mes.CodeUnavailable, mes.ErrStoreAway, "the database can't be reached")
}

// KnowsEquipment implements journal.Index.
func (Blind) KnowsEquipment(context.Context, string, string) (bool, error) { return false, nil }
