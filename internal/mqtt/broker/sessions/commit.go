package sessions

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"plantgate/internal/wal"
)

// op is a change of the state.
type op struct {
	// change makes it, with Registry.mu held, in the order of the log.
	change func(*tx)
	// then tells who waits that the log has it, or with an error that it will not have
	// it for certain. Nil is nobody.
	then func(error)
	// lasting changes are made also if the log can't be written for a while: nobody
	// asks for them again.
	lasting bool
}

// answer tells who waits, once.
func (o *op) answer(err error) {
	if o.then != nil {
		o.then(err)
		o.then = nil
	}
}

// tx is what a commit gathers.
type tx struct {
	buf     []byte
	ready   map[*Session]uint64 // what may be sent once it is written
	written []func()            // what else follows then
}

func (t *tx) log(e *entry) { t.buf = e.append(t.buf) }

// after makes f follow when the log has the changes, however long that takes.
func (t *tx) after(f func()) { t.written = append(t.written, f) }

// work is what waits for the committer.
type work struct {
	mu     sync.Mutex
	ops    []*op
	closed bool
	wake   chan struct{}
}

func (w *work) add(o *op) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.ops = append(w.ops, o)
	w.ring()
	return true
}

// putBack makes ops the next to be taken.
func (w *work) putBack(ops []*op) {
	if len(ops) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops = slices.Concat(ops, w.ops)
	w.ring()
}

// withdraw takes an op away that the committer has not taken.
func (w *work) withdraw(o *op) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.ops, o); i >= 0 {
		w.ops = slices.Delete(w.ops, i, i+1)
	}
}

func (w *work) ring() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *work) take() (ops []*op, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ops, w.ops = w.ops, nil
	return ops, w.closed
}

func (w *work) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.ring()
}

// enqueue gives a change to the committer.
func (r *Registry) enqueue(o *op) {
	if !r.work.add(o) {
		o.answer(ErrClosed)
	}
}

// commit makes a change and returns when the log has it.
func (r *Registry) commit(change func(*tx)) error {
	return r.commitFor(context.Background(), change)
}

// commitFor is commit that ends with ctx. A change that waits is not made then; one
// that is being written may be in the log.
func (r *Registry) commitFor(ctx context.Context, change func(*tx)) error {
	done := make(chan error, 1)
	o := &op{change: change, then: func(err error) { done <- err }}
	r.enqueue(o)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		r.work.withdraw(o)
		return ctx.Err()
	}
}

// insist makes a change that nobody would ask for again. It returns when the log has
// it, or can't be written now; the change is made then when it can.
func (r *Registry) insist(change func(*tx)) {
	done := make(chan struct{})
	r.enqueue(&op{change: change, lasting: true, then: func(error) { close(done) }})
	<-done
}

// later remembers that the session has acknowledgements to be logged.
func (r *Registry) later(s *Session) {
	r.lazyMu.Lock()
	r.dirty[s] = struct{}{}
	r.lazyMu.Unlock()
}

// run is the committer.
func (r *Registry) run() {
	defer close(r.done)
	tick := time.NewTicker(lazily)
	defer tick.Stop()
	var held *tx // what the log would not take yet
	for {
		select {
		case <-r.work.wake:
		case <-tick.C:
		}
		ops, closed := r.work.take()
		var err error
		if held != nil {
			if err = r.write(held); err == nil {
				held = nil
			}
		}
		for err == nil {
			var t *tx
			var made []*op
			t, made, ops = r.change(ops)
			if err = r.write(t); err != nil {
				held = t
			}
			for _, o := range made {
				o.answer(err)
			}
			if len(ops) == 0 {
				break
			}
		}
		if err == nil {
			r.compactIfLarge()
		} else {
			r.work.putBack(refuse(ops, err))
		}
		if closed {
			return
		}
		if err != nil {
			r.pause(err)
		}
	}
}

// refuse tells those who wait that their changes are not made, and returns those that
// have to be made later.
func refuse(ops []*op, err error) []*op {
	var lasting []*op
	for _, o := range ops {
		o.answer(err)
		if o.lasting {
			lasting = append(lasting, o)
		}
	}
	return lasting
}

// pause waits after a failure. One of the disk itself is for ever.
func (r *Registry) pause(err error) {
	r.opts.Log.Error("the broker's log can't be written", "error", err)
	if errors.Is(err, wal.ErrFailed) {
		select {
		case <-r.failed:
		default:
			close(r.failed)
		}
	}
	time.Sleep(again)
}

// change makes changes until there is enough for a frame, and gathers what is to be
// written. It returns which were made and which are left.
func (r *Registry) change(ops []*op) (t *tx, made, left []*op) {
	t = &tx{ready: map[*Session]uint64{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(ops) && len(t.buf) < r.opts.MaxFrame {
		ops[n].change(t)
		n++
	}
	r.lazyMu.Lock()
	dirty := r.dirty
	r.dirty = map[*Session]struct{}{}
	r.lazyMu.Unlock()
	for s := range dirty {
		s.mu.Lock()
		seqs := s.finished
		s.finished = nil
		s.mu.Unlock()
		if s.durable && !s.ended && len(seqs) > 0 {
			t.log(&entry{kind: kindFinished, session: s.id, seqs: seqs})
		}
	}
	return t, ops[:n], ops[n:]
}

// write brings a commit into the log and lets follow what follows. If there is no room,
// the state as a whole, which has the changes, may need less.
func (r *Registry) write(t *tx) error {
	var err error
	if r.log != nil && len(t.buf) > 0 && r.log.Size()+int64(len(t.buf)) > r.opts.MaxLog/2 {
		err = wal.ErrFull // the other half is the state's as a whole
	} else {
		err = r.append(t.buf)
	}
	if errors.Is(err, wal.ErrFull) {
		err = r.compact()
	}
	if err == nil {
		letGo(t)
	}
	return err
}

// append writes a frame. Nothing to write is written.
func (r *Registry) append(frame []byte) error {
	if r.log == nil || len(frame) == 0 {
		return nil
	}
	began := time.Now()
	_, err := r.log.Append(frame)
	r.stats.commits.Add(1)
	r.stats.commitTime.Add(int64(time.Since(began)))
	return err
}

// letGo lets the sessions send what the log has now.
func letGo(t *tx) {
	for s, seq := range t.ready {
		s.mu.Lock()
		s.ready = max(s.ready, seq)
		s.mu.Unlock()
		s.notify()
	}
	for _, f := range t.written {
		f()
	}
}
