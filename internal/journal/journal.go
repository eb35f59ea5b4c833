package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/wal"
)

// Options bound what may wait in the log. All are required.
type Options struct {
	// MaxRecords bounds the records that are not applied yet; each takes about
	// 50 bytes of memory.
	MaxRecords int64
	// MaxBytes bounds what the log keeps. A commit may go beyond it once.
	MaxBytes int64
}

// Journal is the commit of ingest: it implements ingest.Store over a log. Its
// methods are safe for concurrent use.
type Journal struct {
	log     *wal.Log
	index   Index
	options Options

	// commits is held by the one transaction there is.
	commits sync.Mutex
	frame   []byte
	next    int64  // arrival number of the next record
	number  uint64 // of the last commit
	units   map[unitName]*unit

	mu      sync.Mutex // guards what follows
	pending pending
	// arrived and applied are arrival numbers: of the newest durable record, and of
	// the newest that was applied.
	arrived, applied atomic.Int64
	grown            chan struct{} // has a token after a commit
	room             chan struct{} // closed and replaced when something was applied
}

// Applied is how far the store has taken over the log.
type Applied struct {
	// LogID names the log that the position is of; 0 if there was none yet.
	LogID uint64
	// Position is where the first frame begins that was not applied.
	Position wal.Position
	// Arrivals is the number of the newest record that was applied; 0 if none.
	Arrivals int64
}

// Open takes up a log at the end of what was applied to the store.
func Open(ctx context.Context, log *wal.Log, index Index, applied Applied, options Options) (*Journal, error) {
	j := &Journal{
		log: log, index: index, options: options,
		next: applied.Arrivals + 1, units: map[unitName]*unit{}, pending: newPending(),
		grown: make(chan struct{}, 1), room: make(chan struct{}),
	}
	if err := belongs(log, applied); err != nil {
		return nil, err
	}
	if err := j.recover(ctx, applied); err != nil {
		return nil, err
	}
	j.arrived.Store(j.next - 1)
	j.applied.Store(applied.Arrivals)
	return j, nil
}

// Begin returns where a store stands that is about to take up the log. An empty log
// may be new: nothing is lost by beginning at its end.
func Begin(log *wal.Log, applied Applied) Applied {
	if log.First() == log.End() {
		applied.LogID, applied.Position = log.ID(), log.End()
	}
	return applied
}

// Start returns where a store stands that remembers nothing of the log: before
// everything that it keeps.
func Start(log *wal.Log) (Applied, error) {
	start := Applied{LogID: log.ID(), Position: log.First()}
	frame, _, err := log.Reader(start.Position).Next()
	if errors.Is(err, io.EOF) {
		return start, nil
	}
	if err != nil {
		return start, fmt.Errorf("read the log: %w", err)
	}
	var g Group
	if err := g.appendFrame(frame); err != nil {
		return start, err
	}
	start.Arrivals = max(0, g.FirstArrival-1)
	return start, nil
}

func belongs(log *wal.Log, applied Applied) error {
	const remedy = "put back the folder of the log that belongs to this database, or move the folder away to go on without what only it holds"
	if log.ID() != applied.LogID {
		return mes.Errorf(mes.CodePrecondition, "the log holds data of another database; %s", remedy)
	}
	if first, end := log.First(), log.End(); applied.Position < first || applied.Position > end {
		return mes.Errorf(mes.CodePrecondition,
			"the log goes from %d to %d, but the database stands at %d: one of them is an older copy; %s",
			first, end, applied.Position, remedy)
	}
	return nil
}

// recover reads what was not applied.
func (j *Journal) recover(ctx context.Context, applied Applied) error {
	r := j.log.Reader(applied.Position)
	var g Group
	for {
		frame, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		g.reset()
		if err := g.appendFrame(frame); err != nil {
			return err
		}
		// The first frame may have been applied in part.
		if len(g.Records) > 0 && g.FirstArrival > j.next {
			return fmt.Errorf("%w: its first record is number %d, not %d", errFrame, g.FirstArrival, j.next)
		}
		j.next = max(j.next, g.FirstArrival+int64(len(g.Records)))
		g.skip(applied.Arrivals)
		for i := range g.Records {
			r := &g.Records[i]
			u, err := j.unit(ctx, r.SiteID, r.MachineID)
			if err != nil {
				return err
			}
			u.newest = max(u.newest, r.Time.UnixMicro())
		}
		j.pending.add(&g)
	}
}

// unit returns what is known of a work unit; it asks the store once.
func (j *Journal) unit(ctx context.Context, siteID, machineID string) (*unit, error) {
	if u, ok := j.units[unitName{siteID, machineID}]; ok {
		return u, nil
	}
	last, err := j.index.LastTime(ctx, siteID, machineID)
	if err != nil {
		return nil, err
	}
	u := &unit{newest: noRecord}
	if !last.IsZero() {
		u.newest = last.UnixMicro()
	}
	// The texts are parts of larger ones, which would stay in memory with them.
	j.units[unitName{strings.Clone(siteID), strings.Clone(machineID)}] = u
	return u, nil
}

// Update implements ingest.Store: it returns once the log is synced.
func (j *Journal) Update(ctx context.Context, fn func(ingest.Tx) error) error {
	j.commits.Lock()
	defer j.commits.Unlock()
	if err := j.checkRoom(); err != nil {
		return err
	}
	j.number++
	t := &tx{j: j, number: j.number, frame: appendHeader(j.frame[:0], j.next)}
	committed := false
	defer func() {
		if !committed {
			t.undo()
		}
		if j.frame = t.frame; cap(j.frame) > maxKeptFrame {
			j.frame = nil
		}
	}()
	if err := fn(t); err != nil {
		return err
	}
	if err := j.commit(t); err != nil {
		return err
	}
	committed = true
	return nil
}

func (j *Journal) commit(t *tx) error {
	if t.entries == 0 {
		return nil
	}
	if _, err := j.log.Append(t.frame); err != nil {
		return logError(err)
	}
	j.next += int64(len(t.records))
	j.arrived.Store(j.next - 1)
	select {
	case j.grown <- struct{}{}:
	default:
	}
	return nil
}

// maxKeptFrame is how large a buffer is kept from one commit to the next, in bytes.
const maxKeptFrame = 4 << 20

func logError(err error) error {
	if errors.Is(err, wal.ErrFailed) || errors.Is(err, wal.ErrClosed) {
		return mes.Wrap(mes.CodeUnavailable, fmt.Errorf("append to the log: %w: %w", mes.ErrDurability, err), "the disk failed")
	}
	if errors.Is(err, syscall.ENOSPC) {
		full := errFull(err)
		full.Message = "the disk is full: nothing can be stored until there is room on it; try again"
		return full
	}
	return errFull(err) // nothing was written, and it may go well later
}

func errFull(cause error) *mes.Error {
	full := mes.Wrap(mes.CodeUnavailable, cause, "the server has more data than it can store for the moment; try again")
	full.RetryAfter = retryFull
	return full
}

// retryFull is how long senders should wait while the log is full.
const retryFull = 2 * time.Second

var errTooMuchPending = errors.New("too much waits to be applied")

func (j *Journal) checkRoom() error {
	if j.isFull() {
		return errFull(errTooMuchPending)
	}
	return nil
}

func (j *Journal) isFull() bool {
	return j.Pending() >= j.options.MaxRecords || j.log.Size() >= j.options.MaxBytes
}

// KnowsEquipment implements ingest.Store.
func (j *Journal) KnowsEquipment(ctx context.Context, siteID, id string) (bool, error) {
	return j.index.KnowsEquipment(ctx, siteID, id)
}

// QuarantineItem implements ingest.Store.
func (j *Journal) QuarantineItem(ctx context.Context, id mes.ID) (mes.QuarantineItem, error) {
	return j.index.QuarantineItem(ctx, id)
}

// PendingDelivery is what the ledger says of a name that was not applied yet.
func (j *Journal) PendingDelivery(name DeliveryName) (Delivery, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	d, ok := j.pending.deliveries[name]
	return d, ok
}

// ConnectionDeliveries are what came by a connection without an identity of its own, in the order of their
// numbers. It must not be called while more comes by it.
func (j *Journal) ConnectionDeliveries(ctx context.Context, connection string) ([]mes.Delivery, error) {
	// What is pending first: it goes from there to the store.
	waiting := j.PendingConnectionDeliveries(connection)
	applied, err := j.index.ConnectionDeliveries(ctx, connection)
	if err != nil {
		return nil, err
	}
	return mes.NewestDeliveries(append(applied, waiting...)), nil
}

// PendingConnectionDeliveries are those of a connection that were not applied.
func (j *Journal) PendingConnectionDeliveries(connection string) []mes.Delivery {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []mes.Delivery
	for name, m := range j.pending.connectionDeliveries {
		if name.connection == connection {
			list = append(list, m)
		}
	}
	return mes.NewestDeliveries(list)
}

// Pending is how many records are durable and not applied.
func (j *Journal) Pending() int64 { return j.arrived.Load() - j.applied.Load() }

// End is where the durable log ends.
func (j *Journal) End() wal.Position { return j.log.End() }

// Grown has a token after something was committed.
func (j *Journal) Grown() <-chan struct{} { return j.grown }

// Applied takes note that the batch is in the store: what comes again is found
// there from now on.
func (j *Journal) Applied(b *Batch) {
	// Commits need the lock now and then, so it is not held for long.
	for part := range slices.Chunk(b.Records, forgetAtOnce) {
		j.mu.Lock()
		for i := range part {
			delete(j.pending.records, part[i].ID)
		}
		j.mu.Unlock()
	}
	j.mu.Lock()
	j.pending.forget(b.Deliveries, b.Resolved)
	j.pending.forgetConnectionDeliveries(b.ConnectionDeliveries)
	for i := range b.Items {
		delete(j.pending.items, b.Items[i].ID)
	}
	if len(j.pending.records) == 0 {
		j.pending.records = map[mes.ID]struct{}{} // a map keeps the room of its largest size
	}
	j.mu.Unlock()
	if n := b.Arrivals(); n > 0 {
		j.applied.Store(n)
	}
	j.announceRoom()
}

// forgetAtOnce is how many records are taken out of memory under one lock.
const forgetAtOnce = 1024

// Room implements ingest.Store.
func (j *Journal) Room() <-chan struct{} {
	if !j.isFull() {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.isFull() { // room was made before the lock was had
		return nil
	}
	return j.room
}

// Refused returns why nothing can be committed since the disk has no room; nil while
// something can, as far as is known.
func (j *Journal) Refused() error {
	if err := j.log.Refused(); err != nil {
		return logError(err)
	}
	return nil
}

// Release says that nothing before the position is needed any more.
func (j *Journal) Release(p wal.Position) error {
	err := j.log.Release(p)
	j.announceRoom()
	return err
}

func (j *Journal) announceRoom() {
	j.mu.Lock()
	defer j.mu.Unlock()
	close(j.room)
	j.room = make(chan struct{})
}
