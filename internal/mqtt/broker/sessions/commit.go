package sessions

import (
	"errors"
	"sync"
	"time"

	"plantgate/internal/wal"
)

// op is a change of the state.
type op struct {
	// change makes it, with Registry.mu held, in the order of the log.
	change func(*tx)
	// then is called when the log has it, or with an error when it will not have it
	// for certain. Nil is allowed.
	then func(error)
	// lazy waits for others to be written with.
	lazy bool
}

// tx is what a commit gathers.
type tx struct {
	buf   []byte
	ready map[*Session]uint64 // what may be sent once it is written
}

func (t *tx) log(e *entry) { t.buf = e.append(t.buf) }

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
	if !o.lazy {
		w.ring()
	}
	return true
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
	if !r.work.add(o) && o.then != nil {
		o.then(ErrClosed)
	}
}

// commit makes a change and returns when the log has it.
func (r *Registry) commit(change func(*tx)) error {
	done := make(chan error, 1)
	r.enqueue(&op{change: change, then: func(err error) { done <- err }})
	return <-done
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
	var held []byte // what the log would not take yet
	for {
		select {
		case <-r.work.wake:
		case <-tick.C:
		}
		ops, closed := r.work.take()
		if len(held) > 0 {
			if err := r.append(held); err != nil {
				answer(ops, err)
				if closed {
					return
				}
				r.pause(err)
				continue
			}
			held = nil
		}
		t, thens := r.change(ops)
		err := r.append(t.buf)
		if err != nil {
			held = t.buf
		} else {
			letGo(t)
		}
		for _, then := range thens {
			then(err)
		}
		if err == nil {
			r.compact()
		}
		if closed {
			return
		}
		if err != nil {
			r.pause(err)
		}
	}
}

func answer(ops []*op, err error) {
	for _, o := range ops {
		if o.then != nil {
			o.then(err)
		}
	}
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

// change makes the changes and gathers what is to be written.
func (r *Registry) change(ops []*op) (*tx, []func(error)) {
	t := &tx{ready: map[*Session]uint64{}}
	var thens []func(error)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range ops {
		o.change(t)
		if o.then != nil {
			thens = append(thens, o.then)
		}
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
	return t, thens
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
}
