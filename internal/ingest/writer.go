package ingest

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"plantgate/internal/mes"
)

// maxGroup is about how many records one transaction holds. Larger groups make
// the first caller wait without saving much for the last.
const maxGroup = 4096

// yields is how often the writer lets everybody else go first before it takes what
// is there: a request passes two goroutines on its way here.
const yields = 3

// Run commits what comes in until ctx ends, then what still waits, and returns
// nil. It returns an error, at once, if the store can no longer make data
// durable: the process must end then.
//
// A writer never waits on a timer: as soon as it is free it commits what is
// there, be it one record or thousands. Under load groups grow by themselves.
func (s *Service) Run(ctx context.Context) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, s.opts.Writers)
	var writers sync.WaitGroup
	for i := range errs {
		writers.Go(func() {
			w := &writer{Service: s, number: i}
			if errs[i] = w.run(working); errs[i] != nil {
				stop()
			}
		})
	}
	writers.Wait()
	s.queue.close()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.drain()
}

// drain commits what still waits, when no writer is at work any more.
func (s *Service) drain() error {
	for number := 0; !s.queue.isEmpty(); number = (number + 1) % s.opts.Writers {
		w := &writer{Service: s, number: number}
		if err := w.commitWaiting(); err != nil {
			return err
		}
	}
	return nil
}

// writer makes one commit at a time.
type writer struct {
	*Service
	number int
	// group is where it gathers the records of one.
	group []mes.Record
}

func (w *writer) run(ctx context.Context) error {
	for {
		w.waitForRoom(ctx)
		select {
		case <-w.queue.wake[w.number]:
			// Whoever is about to come lets the sync count for more; nobody is waited
			// for.
			for range yields {
				runtime.Gosched()
			}
			if err := w.commitWaiting(); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// waitForRoom holds the writer while the store has no room.
func (s *Service) waitForRoom(ctx context.Context) {
	for room := s.store.Room(); room != nil; room = s.store.Room() {
		select {
		case <-room:
		case <-ctx.Done():
			return
		}
	}
}

func (w *writer) commitWaiting() error {
	jobs, taken := w.queue.take(w.number, maxGroup)
	if len(jobs) == 0 {
		return nil
	}
	defer w.queue.done(taken)
	start := time.Now()
	err := w.commitGroup(jobs)
	w.stats.observe(len(jobs), time.Since(start))
	if errors.Is(err, mes.ErrDurability) {
		w.queue.close()
		w.abandon(jobs, err)
		return err
	}
	return nil
}

// commitGroup commits the jobs in one transaction. If that fails for a reason
// that may lie in one of them, each is tried by itself, so that one batch can't
// spoil the others'.
func (w *writer) commitGroup(jobs []*job) error {
	err := w.update(jobs)
	switch {
	case errors.Is(err, mes.ErrDurability):
		return err
	case err == nil || len(jobs) == 1 && !errors.Is(err, mes.ErrUnstorable) ||
		mes.ErrorCode(err) == mes.CodeUnavailable && !errors.Is(err, mes.ErrLeaseLost):
		for _, j := range jobs {
			j.finish(err)
		}
		w.report(err, len(jobs))
		return nil
	}
	for i, j := range jobs {
		if len(jobs) > 1 {
			err = w.update(jobs[i : i+1])
		}
		if errors.Is(err, mes.ErrUnstorable) && j.resolve == nil && j.keepsFaults() {
			err = w.isolate(j)
		}
		if errors.Is(err, mes.ErrDurability) {
			return err
		}
		w.report(err, 1)
		jobs[i] = nil // its caller may use it again at once
		j.finish(err)
	}
	return nil
}

// isolate stores a batch one by one that has something which the store can't hold: that
// goes to quarantine, or whoever sends it would send it for ever.
func (w *writer) isolate(j *job) error {
	for _, i := range j.accepted {
		// The deliveries come last: without them it is stored once more, with them never again.
		one := &job{records: j.records[i : i+1], receipts: j.receipts[i : i+1], accepted: []int{0}, owner: j.owner}
		err := w.update([]*job{one})
		if errors.Is(err, mes.ErrUnstorable) {
			w.opts.Logger.Error("the store can't hold a record; it goes to quarantine", slog.String("error", mes.WithCauses(err)))
			one.accepted = nil
			one.quarantine(0, &one.records[0], Unstorable(err))
			err = w.update([]*job{one})
		}
		if err != nil {
			return err
		}
	}
	return w.update([]*job{{items: j.items, deliveries: j.deliveries, owner: j.owner}})
}

func (s *Service) report(err error, jobs int) {
	switch mes.ErrorCode(err) {
	case "", mes.CodeConflict, mes.CodeInvalid, mes.CodeNotFound:
	case mes.CodeUnavailable:
		s.opts.Logger.Warn("store did not take a group", slog.Any("error", err), slog.Int("batches", jobs))
	default:
		s.opts.Logger.Error("store refused a group", slog.Any("error", err), slog.Int("batches", jobs))
	}
}

// abandon ends the jobs that were not finished, and those that still wait.
func (s *Service) abandon(jobs []*job, err error) {
	failed := mes.Wrap(mes.CodeUnavailable, err, "the server is stopping")
	for _, j := range append(jobs, s.queue.takeAll()...) {
		if j != nil {
			j.finish(failed)
		}
	}
}

// update runs the jobs in one transaction: append, quarantine, resolve.
func (w *writer) update(jobs []*job) error {
	now := w.opts.Clock()
	ledger := LedgerWindow{Now: mes.Micros(now), MessagesSince: now.Add(-w.opts.DedupeWindow), KeysSince: now.Add(-keyWindow)}
	// Callers may give up; the group does not, since others' data are in it.
	return w.store.Update(context.Background(), func(tx Tx) error {
		return w.write(tx, jobs, ledger)
	})
}

func (w *writer) write(tx Tx, jobs []*job, ledger LedgerWindow) error {
	ctx := context.Background()
	if isPlain(jobs) {
		tx.Last()
	}
	if owners := ownersOf(jobs); len(owners) > 0 {
		if err := tx.Prove(ctx, owners); err != nil {
			return err
		}
	}
	records := w.group[:0]
	for _, j := range jobs {
		for _, i := range j.accepted {
			records = append(records, j.records[i])
		}
	}
	// The records are their callers' again once they have their receipts.
	defer func() {
		clear(records)
		if w.group = records; cap(records) > maxGroup {
			w.group = nil
		}
	}()
	receipts, err := tx.AppendRecords(ctx, records, ledger)
	if err != nil {
		return err
	}
	items, err := w.distribute(jobs, receipts)
	if err != nil {
		return err
	}
	if err := tx.AppendQuarantine(ctx, items); err != nil {
		return err
	}
	if err := tx.AppendDeliveries(ctx, deliveriesOf(jobs)); err != nil {
		return err
	}
	return w.resolve(ctx, tx, jobs)
}

// isPlain tells whether the jobs have records only that the store can't refuse: nothing
// of them goes to quarantine, or is refused, after it has seen them.
func isPlain(jobs []*job) bool {
	for _, j := range jobs {
		if len(j.items) > 0 || len(j.deliveries) > 0 || j.resolve != nil {
			return false
		}
		for _, i := range j.accepted {
			if r := &j.records[i]; r.MessageID != "" || r.Idempotency != nil {
				return false
			}
		}
	}
	return true
}

// deliveriesOf are those of what came with the jobs.
func deliveriesOf(jobs []*job) []mes.Delivery {
	var list []mes.Delivery
	for _, j := range jobs {
		list = append(list, j.deliveries...)
	}
	return list
}

// ownersOf are the rights by which records were received, each once, in an order that
// is the same for everybody, so that two who prove them don't wait for each other.
func ownersOf(jobs []*job) []mes.Ownership {
	var owners []mes.Ownership
	for _, j := range jobs {
		if j.owner != nil && !slices.Contains(owners, *j.owner) {
			owners = append(owners, *j.owner)
		}
	}
	slices.SortFunc(owners, func(a, b mes.Ownership) int { return strings.Compare(a.Lease, b.Lease) })
	return owners
}

// distribute gives each job its receipts, and returns what goes to quarantine:
// what the jobs brought for it and what the store would not take. It may run
// more than once for a job, when a group is tried again. It fails for a request
// that uses the idempotency key of another: nothing of that may be stored.
func (s *Service) distribute(jobs []*job, receipts []mes.Receipt) ([]mes.QuarantineItem, error) {
	var items []mes.QuarantineItem
	next := 0
	for _, j := range jobs {
		brought := j.items
		for _, i := range j.accepted {
			receipt := receipts[next]
			next++
			j.receipts[i] = receipt
			if receipt.Fault != nil && errors.Is(receipt.Fault, mes.ErrKeyReused) {
				j.items = brought
				return nil, receipt.Fault
			}
			if receipt.Status == mes.ReceiptRejected && !j.records[i].Answerable {
				j.quarantine(i, &j.records[i], receipt.Fault)
			}
		}
		items = append(items, j.items...)
		j.items = brought
	}
	return items, nil
}

// resolve closes the quarantined items of replays that went well.
func (s *Service) resolve(ctx context.Context, tx Tx, jobs []*job) error {
	for _, j := range jobs {
		if j.resolve == nil {
			continue
		}
		item := *j.resolve
		for _, r := range j.receipts {
			if r.Status == mes.ReceiptRejected {
				return r.Fault
			}
			if item.RecordID.IsZero() {
				item.RecordID = r.ID
			}
		}
		if err := tx.ResolveQuarantine(ctx, item); err != nil {
			return err
		}
	}
	return nil
}
