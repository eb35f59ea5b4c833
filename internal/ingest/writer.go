package ingest

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
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
// The writer never waits on a timer: as soon as it is free it commits what is
// there, be it one record or thousands. Under load groups grow by themselves.
func (s *Service) Run(ctx context.Context) error {
	for {
		s.waitForRoom(ctx)
		select {
		case <-s.queue.wake:
			// Whoever is about to come lets the sync count for more; nobody is waited
			// for.
			for range yields {
				runtime.Gosched()
			}
			if err := s.commitWaiting(); err != nil {
				return err
			}
		case <-ctx.Done():
			s.queue.close()
			return s.drain()
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

func (s *Service) drain() error {
	for !s.queue.isEmpty() {
		if err := s.commitWaiting(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) commitWaiting() error {
	jobs := s.queue.take(maxGroup)
	if len(jobs) == 0 {
		return nil
	}
	start := time.Now()
	err := s.commitGroup(jobs)
	s.stats.observe(len(jobs), time.Since(start))
	if errors.Is(err, mes.ErrDurability) {
		s.queue.close()
		s.abandon(jobs, err)
		return err
	}
	return nil
}

// commitGroup commits the jobs in one transaction. If that fails for a reason
// that may lie in one of them, each is tried by itself, so that one batch can't
// spoil the others'.
func (s *Service) commitGroup(jobs []*job) error {
	err := s.update(jobs)
	switch {
	case errors.Is(err, mes.ErrDurability):
		return err
	case err == nil || len(jobs) == 1 || mes.ErrorCode(err) == mes.CodeUnavailable && !errors.Is(err, mes.ErrLeaseLost):
		for _, j := range jobs {
			j.finish(err)
		}
		s.report(err, len(jobs))
		return nil
	}
	for i, j := range jobs {
		err := s.update(jobs[i : i+1])
		if errors.Is(err, mes.ErrDurability) {
			return err
		}
		s.report(err, 1)
		jobs[i] = nil // its caller may use it again at once
		j.finish(err)
	}
	return nil
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
	for jobs != nil {
		for _, j := range jobs {
			if j != nil {
				j.finish(failed)
			}
		}
		jobs = s.queue.take(maxGroup)
	}
}

// update runs the jobs in one transaction: append, quarantine, resolve.
func (s *Service) update(jobs []*job) error {
	now := s.opts.Clock()
	ledger := LedgerWindow{Now: mes.Micros(now), MessagesSince: now.Add(-s.opts.DedupeWindow), KeysSince: now.Add(-keyWindow)}
	// Callers may give up; the group does not, since others' data are in it.
	return s.store.Update(context.Background(), func(tx Tx) error {
		return s.write(tx, jobs, ledger)
	})
}

func (s *Service) write(tx Tx, jobs []*job, ledger LedgerWindow) error {
	ctx := context.Background()
	if owners := ownersOf(jobs); len(owners) > 0 {
		if err := tx.Prove(ctx, owners); err != nil {
			return err
		}
	}
	records := s.group[:0]
	for _, j := range jobs {
		for _, i := range j.accepted {
			records = append(records, j.records[i])
		}
	}
	// The records are their callers' again once they have their receipts.
	defer func() {
		clear(records)
		if s.group = records; cap(records) > maxGroup {
			s.group = nil
		}
	}()
	receipts, err := tx.AppendRecords(ctx, records, ledger)
	if err != nil {
		return err
	}
	items, err := s.distribute(jobs, receipts)
	if err != nil {
		return err
	}
	if err := tx.AppendQuarantine(ctx, items); err != nil {
		return err
	}
	return s.resolve(ctx, tx, jobs)
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
