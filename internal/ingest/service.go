package ingest

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"plantgate/internal/mes"
)

// Policy says what becomes of data of work units that are not registered.
type Policy string

// The policies (equipment.unknown).
const (
	// RegisterUnknown makes the equipment with its first record.
	RegisterUnknown Policy = "register"
	// QuarantineUnknown keeps every such message in quarantine.
	QuarantineUnknown Policy = "quarantine"
	// RefuseUnknown answers with the fault where there is somebody to answer.
	RefuseUnknown Policy = "refuse"
)

// Options are the settings of a Service. All are required but
// Retention, Present, Clock and Logger.
type Options struct {
	Sites *Sites
	// MaxFuture is how far a source time may be ahead of its receipt.
	MaxFuture time.Duration
	// Retention is how old a record may be; 0 is as old as it likes.
	Retention time.Duration
	// DedupeWindow is how long message ids are remembered.
	DedupeWindow time.Duration
	// Unknown is the policy for work units that are not registered.
	Unknown Policy
	// Writers is how many commits may be made at once, each of other machines; 0 means
	// 1, for a store that makes one after the other anyway.
	Writers int
	// QueueRecords and QueueBytes bound what may wait for the writers.
	QueueRecords int
	QueueBytes   int
	// Present returns what the configuration says now of a message that came by a
	// connection and address, so that what a wrong binding sent to quarantine can be
	// replayed once that is corrected; false where it says nothing. May be nil.
	Present func(mes.Origin) (Source, bool)
	Clock   func() time.Time
	Logger  *slog.Logger
}

// keyWindow is how long an Idempotency-Key is remembered.
const keyWindow = 24 * time.Hour

// Service is the one door for machine data.
type Service struct {
	store    Store
	decoder  Decoder
	opts     Options
	receiver mes.ID
	queue    *queue
	jobs     jobs
	stats    counters

	receiptMu   sync.Mutex
	lastReceipt time.Time

	known sync.Map // site~id of registered work units, filled as they are met
}

// New returns a service that commits through the store. It takes data once Run
// is under way. The decoder reads quarantined messages again at their replay.
func New(store Store, decoder Decoder, opts Options) *Service {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Writers = min(max(opts.Writers, 1), maxWriters)
	return &Service{
		store: store, decoder: decoder, opts: opts,
		receiver: mes.NewID(),
		queue:    newQueue(opts.QueueRecords, opts.QueueBytes, opts.Writers),
	}
}

// Ingest implements Ingester. While the queue is full it fails at once with
// CodeUnavailable, for callers that can tell their peer to come back later.
func (s *Service) Ingest(ctx context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	return s.ingest(ctx, batch, false)
}

// Patient returns an Ingester that waits for room in the queue, for callers
// that slow their peer down by not acknowledging.
func (s *Service) Patient() Ingester { return patient{s} }

type patient struct{ s *Service }

func (p patient) Ingest(ctx context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	return p.s.ingest(ctx, batch, true)
}

func (s *Service) ingest(ctx context.Context, batch []mes.Record, wait bool) ([]mes.Receipt, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	j := s.jobs.get(batch)
	for i := range batch {
		rec := &batch[i]
		s.stamp(rec)
		if err := s.admit(ctx, rec); err != nil {
			return nil, err
		}
		s.sort(j, i, rec)
	}
	return s.commit(ctx, j, wait)
}

// sort decides where a checked record goes: to the store, to quarantine, or
// back to its sender.
func (s *Service) sort(j *job, i int, rec *mes.Record) {
	switch {
	case rec.Fault == nil:
		rec.Identify(s.receiver)
		j.accept(i)
	case rec.Answerable:
		j.receipts[i] = mes.Receipt{Status: mes.ReceiptRejected, Fault: rec.Fault}
	default:
		j.quarantine(i, rec, rec.Fault)
	}
}

func (s *Service) commit(ctx context.Context, j *job, wait bool) ([]mes.Receipt, error) {
	if j.isEmpty() {
		s.stats.count(j)
		receipts := j.receipts
		s.jobs.put(j)
		return receipts, nil
	}
	if err := s.admitJob(ctx, j, wait); err != nil {
		s.stats.refused.Add(int64(len(j.records)))
		return nil, err
	}
	select {
	case <-j.done:
		if j.err == nil {
			s.stats.count(j)
		}
		receipts, err := j.receipts, j.err
		s.jobs.put(j)
		return receipts, err
	case <-ctx.Done():
		// The records may still be committed; sending them again is harmless.
		return nil, mes.Wrap(mes.CodeUnavailable, ctx.Err(), "the request ended before its data were committed")
	}
}

// admitJob puts the job into the queue. Who can tell their peer to come back later
// is refused while the store has no room; the others wait.
func (s *Service) admitJob(ctx context.Context, j *job, wait bool) error {
	if !wait && s.store.Room() != nil {
		return errBusy()
	}
	j.parts = partsOf(j, s.opts.Writers)
	return s.queue.push(ctx, j, wait)
}

// stamp sets the times that the receiver gives.
func (s *Service) stamp(rec *mes.Record) { s.stampAt(rec, s.nextReceipt) }

// stampAt is stamp with the clock that makes times of receipt increase.
func (s *Service) stampAt(rec *mes.Record, next func(time.Time) time.Time) {
	if rec.ReceivedAt.IsZero() {
		rec.ReceivedAt = s.opts.Clock()
	}
	rec.ReceivedAt = mes.Micros(rec.ReceivedAt)
	if rec.SiteID == "" {
		rec.SiteID = s.opts.Sites.Default
	}
	// A batch that is offered again after an error keeps its times, and so its ids.
	if rec.Fault == nil && rec.TimeOrigin == mes.TimeReceipt && rec.Time.IsZero() {
		rec.ReceivedAt = next(rec.ReceivedAt)
		rec.Time = rec.ReceivedAt
	}
}

// nextReceipt makes times of receipt strictly increase in this process, so that
// equal readings without a source time stay separate and in order.
func (s *Service) nextReceipt(t time.Time) time.Time {
	s.receiptMu.Lock()
	defer s.receiptMu.Unlock()
	if !t.After(s.lastReceipt) {
		t = s.lastReceipt.Add(time.Microsecond)
	}
	s.lastReceipt = t
	return t
}

// admit sets the record's fault if it can't be accepted. It returns an error
// only if that can't be decided now.
func (s *Service) admit(ctx context.Context, rec *mes.Record) error {
	if s.check(rec); rec.Fault != nil {
		return nil
	}
	return s.checkKnown(ctx, rec)
}

// check sets the record's fault if it can't be accepted whatever the store says.
func (s *Service) check(rec *mes.Record) {
	if rec.Fault != nil {
		return
	}
	if rec.Fault = rec.Validate(); rec.Fault != nil {
		return
	}
	if rec.Fault = s.checkTime(rec); rec.Fault != nil {
		return
	}
	if _, ok := s.opts.Sites.Zone(rec.SiteID); !ok {
		rec.Fault = mes.Invalid([]mes.FieldError{{Pointer: "/site_id", Detail: "unknown site"}})
	}
}

func (s *Service) checkTime(rec *mes.Record) *mes.Error {
	ahead := rec.Time.Sub(rec.ReceivedAt)
	// Of a repeated hour the nearest reading may be one that is still to come.
	if ahead > s.opts.MaxFuture && !rec.AltTime.IsZero() && rec.AltTime.Before(rec.Time) {
		rec.Time, rec.AltTime = rec.AltTime, rec.Time
		ahead = rec.Time.Sub(rec.ReceivedAt)
	}
	switch {
	case rec.Time.Before(time.UnixMicro(0)):
		return mes.Invalid([]mes.FieldError{{Pointer: "/timestamp", Detail: "must not be before 1970"}})
	case ahead > s.opts.MaxFuture:
		return mes.Invalid([]mes.FieldError{{Pointer: "/timestamp",
			Detail: "is more than " + s.opts.MaxFuture.String() + " ahead of the time of receipt " + rec.ReceivedAt.Format(time.RFC3339)}})
	case s.opts.Retention > 0 && s.opts.Clock().Sub(rec.Time) > s.opts.Retention:
		return mes.Invalid([]mes.FieldError{{Pointer: "/timestamp",
			Detail: "is older than records are kept (" + s.opts.Retention.String() + ")"}})
	case ahead > 0 && !rec.HasFlag(mes.FlagAhead):
		rec.Flags = append(rec.Flags, mes.FlagAhead)
	}
	return nil
}

func (s *Service) checkKnown(ctx context.Context, rec *mes.Record) error {
	if s.opts.Unknown == RegisterUnknown {
		return nil
	}
	key := rec.SiteID + "~" + rec.MachineID
	if _, ok := s.known.Load(key); ok {
		return nil
	}
	known, err := s.store.KnowsEquipment(ctx, rec.SiteID, rec.MachineID)
	if err != nil {
		return err
	}
	if known {
		s.known.Store(key, true)
		return nil
	}
	rec.Fault = mes.Invalid([]mes.FieldError{{Pointer: "/machine_id", Detail: "is not registered equipment"}})
	rec.Answerable = rec.Answerable && s.opts.Unknown == RefuseUnknown
	return nil
}
