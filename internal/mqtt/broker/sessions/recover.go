package sessions

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"plantgate/internal/wal"
)

// recover makes the state that the log tells.
func (r *Registry) recover() error {
	reader, end := r.log.Reader(r.log.First()), r.log.End()
	at, parts := r.log.First(), parts{}
	for at < end {
		frame, next, err := reader.Next()
		if err != nil {
			return err
		}
		if err := parts.frame(frame, r.replay); err != nil {
			return fmt.Errorf("at position %d: %w", at, err)
		}
		at = next
	}
	for _, s := range r.sessions {
		s.ready = s.last
		// What may have been sent before the end of the program.
		for i, it := range s.queue {
			it.again = i < r.opts.MaxInflight
		}
	}
	return nil
}

// parts are frames of a state that is written in several, of which the last makes it
// count: after a kill in their midst the state before goes on.
type parts [][]byte

// frame calls fn with the entries of a frame, unless it is a part; with those of the
// parts when the last comes.
func (p *parts) frame(frame []byte, fn func(*entry) error) error {
	d := &decoder{b: frame}
	switch first := d.entry(); {
	case d.bad:
		return errEntry
	case first.kind == kindPart:
		if first.number == 0 {
			*p = nil // those of an attempt that was not finished
		}
		if first.number == uint64(len(*p)) {
			*p = append(*p, bytes.Clone(d.b))
		}
		return nil
	case first.kind == kindWhole:
		if first.number != uint64(len(*p)) {
			return errEntry
		}
		if err := fn(&entry{kind: kindReset}); err != nil {
			return err
		}
		for _, part := range *p {
			if err := decodeFrame(part, fn); err != nil {
				return err
			}
		}
		*p = nil
		return decodeFrame(d.b, fn)
	}
	return decodeFrame(frame, fn)
}

// replay makes one change again.
func (r *Registry) replay(e *entry) error {
	if e.kind == kindReset {
		r.reset()
		return nil
	}
	if e.kind == kindMessage {
		r.replayMessage(e)
		return nil
	}
	s := r.sessions[e.session]
	if e.kind == kindSession {
		if s == nil {
			s = r.add(e.session)
			s.durable = true
			r.stats.persistent.Add(1)
		}
		s.user, s.version, s.expiry, s.last = e.user, e.version, e.expiry, max(s.last, e.next)
		return nil
	}
	if s == nil {
		return nil // of a session that has ended meanwhile
	}
	switch e.kind {
	case kindEnd:
		r.remove(s)
	case kindSubscribe:
		r.subscribe(s, e.sub)
	case kindLeave:
		r.leave(s, e.sub.Filter)
	case kindFinished:
		for _, seq := range e.seqs {
			if it := s.find(seq); it != nil {
				s.finishItem(it)
			}
		}
		s.finished = nil
	case kindReceived:
		for _, seq := range e.seqs {
			if it := s.find(seq); it != nil {
				it.state = received
			}
		}
	case kindComplete:
		delete(s.incoming, e.id)
	case kindIncoming:
		s.incoming[e.id] = true
	}
	return nil
}

func (r *Registry) replayMessage(e *entry) {
	r.order++
	m := &message{Message: *e.msg, order: r.order}
	if s := r.sessions[m.Origin]; s != nil && m.PacketID != 0 {
		s.incoming[m.PacketID] = true
	}
	if e.keeps {
		r.retain(m)
	}
	for _, t := range e.targets {
		s := r.sessions[t.session]
		if s == nil {
			continue // it has ended meanwhile
		}
		it := &item{msg: m, seq: t.seq, qos: t.qos, retain: t.retain, ids: t.ids}
		if t.received {
			it.state = received
		}
		s.push(it)
	}
}

// find returns an item that is not finished.
func (s *Session) find(seq uint64) *item {
	i, ok := slices.BinarySearchFunc(s.queue, seq, func(it *item, seq uint64) int {
		switch {
		case it.seq < seq:
			return -1
		case it.seq > seq:
			return 1
		}
		return 0
	})
	if !ok || s.queue[i].state == finished {
		return nil
	}
	return s.queue[i]
}

// compactIfLarge compacts a log that is much larger than the state.
func (r *Registry) compactIfLarge() {
	if r.log == nil || r.log.Size() < compactAt+2*r.stats.snapshot.Load() || time.Now().Before(r.rest) {
		return
	}
	if err := r.compact(); err != nil {
		r.rest = time.Now().Add(compactRest)
		r.opts.Log.Warn("the broker's log can't be written anew", "error", err)
	}
}

// compact writes the whole state, and gives up the frames before it.
func (r *Registry) compact() error {
	before := r.log.End()
	r.mu.Lock()
	frames := r.snapshot()
	r.mu.Unlock()
	var size int64
	for _, frame := range frames {
		size += int64(len(frame))
	}
	r.stats.snapshot.Store(size)
	if r.log.Size()+size > r.opts.MaxLog {
		return wal.ErrFull // rather than write a part of it
	}
	for _, frame := range frames {
		if err := r.append(frame); err != nil {
			return err
		}
	}
	if err := r.log.Release(before); err != nil && !errors.Is(err, wal.ErrClosed) {
		r.opts.Log.Warn("the old part of the broker's log can't be removed", "error", err)
	}
	return nil
}

// pieces are frames in the making.
type pieces struct {
	size   int
	frames [][]byte
	buf    []byte
}

func (p *pieces) add(e *entry) {
	if len(p.buf) == 0 {
		p.buf = (&entry{kind: kindPart, number: uint64(len(p.frames))}).append(p.buf)
	}
	p.buf = e.append(p.buf)
	if len(p.buf) >= p.size {
		p.frames, p.buf = append(p.frames, p.buf), nil
	}
}

// end makes the parts count.
func (p *pieces) end() [][]byte {
	if len(p.buf) > 0 {
		p.frames = append(p.frames, p.buf)
	}
	return append(p.frames, (&entry{kind: kindWhole, number: uint64(len(p.frames))}).append(nil))
}

// snapshot is the whole state as entries, with the changes that are made and can't be
// written. It is called with r.mu held.
func (r *Registry) snapshot() [][]byte {
	out := &pieces{size: r.opts.MaxFrame}
	kept := map[*message]*entry{}
	add := func(m *message) *entry {
		if kept[m] == nil {
			c := m.Message
			c.PacketID = 0 // those stand in the sessions
			kept[m] = &entry{kind: kindMessage, msg: &c}
		}
		return kept[m]
	}
	for _, s := range r.sessions {
		if !s.durable {
			continue
		}
		s.mu.Lock()
		for _, it := range s.queue {
			if it.state == finished {
				continue
			}
			e := add(it.msg)
			e.targets = append(e.targets, target{
				session: s.id, seq: it.seq, qos: it.qos, retain: it.retain, received: it.answered || it.state == received, ids: it.ids,
			})
		}
		out.add(&entry{kind: kindSession, session: s.id, user: s.user, version: s.version, expiry: s.expiry, next: s.last})
		s.mu.Unlock()
		for _, sub := range s.subs {
			out.add(&entry{kind: kindSubscribe, session: s.id, sub: sub})
		}
		for id := range s.incoming {
			out.add(&entry{kind: kindIncoming, session: s.id, id: id})
		}
	}
	for _, m := range r.retained {
		add(m).keeps = true
	}
	list := make([]*message, 0, len(kept))
	for m := range kept {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *message) int {
		if a.order < b.order {
			return -1
		}
		return 1
	})
	for _, m := range list {
		out.add(kept[m])
	}
	return out.end()
}
