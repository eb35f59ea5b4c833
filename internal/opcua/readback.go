package opcua

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/history"
)

// maxWaits is how often history is waited for that does not reach to the end of a gap yet:
// some servers write theirs a while later.
const maxWaits = 5

// read reads the history of nodes into the queue.
func (b *backFill) read(ctx context.Context, list []interval) error {
	limit := b.limit()
	spans := make([]history.Span, len(list))
	reached := make([]bool, len(list))
	for k, i := range list {
		spans[k] = history.Span{NodeID: i.place, From: latest(i.gap.From, limit), To: i.gap.To}
	}
	r := &history.Reader{Client: b.client, Limits: b.limits, Chunk: b.a.cfg.History.NumValuesPerNode(), Share: b.share}
	results, err := r.Read(ctx, spans, func(k int, v *ua.DataValue) error {
		i := &list[k]
		r, err := b.past(ctx, i, v, mes.Micros(b.a.deps.Now()))
		if err != nil {
			return err
		}
		e := entry{kind: entryHistory, record: r, track: i.track, at: r.Time, generation: i.generation}
		reached[k] = reached[k] || r.TimeOrigin == mes.TimeSource && !e.at.After(i.gap.From)
		e.progress = reached[k]
		b.progressed = b.progressed || e.progress && e.at.After(i.gap.From)
		return b.putLate(ctx, e)
	})
	b.share = max(r.Share, 1)
	if err != nil {
		for _, k := range r.Asking {
			b.asking = append(b.asking, list[k])
		}
		return err
	}
	return b.judgeRead(ctx, r, list, results, reached)
}

// judged is what becomes of gaps of which the history was read.
type judged struct {
	filled  entry
	losses  []loss
	passing []interval
	waiting []interval
	fault   error
}

// judgeRead closes what is filled, and records what the history did not have.
func (b *backFill) judgeRead(ctx context.Context, r *history.Reader, list []interval, results []history.Result, reached []bool) error {
	j := judged{filled: entry{kind: entryClose}}
	var doubtful []interval
	var of []history.Result
	var refusal error
	for k, i := range list {
		switch result := results[k]; {
		case result.Err != nil && result.Passing:
			j.passing, j.fault = append(j.passing, i), fmt.Errorf("node %s: %w", i.node.nodeID, result.Err)
		case result.Err != nil:
			refusal = fmt.Errorf("node %s: %w", i.node.nodeID, result.Err)
			j.losses = append(j.losses, lost(i, reasonRefused))
		case reached[k]:
			b.judgeEnd(&j, i, mes.Micros(result.Last))
		default:
			doubtful, of = append(doubtful, i), append(of, result)
		}
	}
	if refusal != nil {
		b.log.Warn("opcua: the server does not give the history of nodes", "nodes", len(j.losses), "last", refusal)
	}
	reaches, err := b.reach(ctx, r, doubtful)
	if err != nil {
		return err
	}
	for k, i := range doubtful {
		if reaches[k] {
			b.judgeEnd(&j, i, mes.Micros(of[k].Last))
		} else {
			b.judgeBegin(&j, i, of[k])
		}
	}
	return b.settle(ctx, &j)
}

// judgeBegin records that the history begins later than the gap, once it is known that
// something of it is there, or that nothing will be.
func (b *backFill) judgeBegin(j *judged, i interval, result history.Result) {
	begins := mes.Micros(result.First)
	switch {
	case begins.IsZero() && i.exact && i.waits < maxWaits:
		j.waiting = append(j.waiting, i)
		return
	case begins.IsZero():
		j.losses = append(j.losses, lost(i, reasonBeginsLater))
		return
	}
	l := lost(i, reasonBeginsLater)
	if begins.After(l.from) {
		l.to = earliest(l.to, begins)
	}
	if b.ends(i, mes.Micros(result.Last)) {
		l.done.to = begins // what is left is looked at by itself
	}
	j.losses = append(j.losses, l)
}

// judgeEnd closes a gap of which the history reaches back to the beginning: it is filled if
// the history goes on to the first value that came live again. If it does not, it may do so
// later; if it never does, values may be lost, but for what is closer than values come.
func (b *backFill) judgeEnd(j *judged, i interval, last time.Time) {
	switch short := b.ends(i, last); {
	case short && i.waits < maxWaits:
		j.waiting = append(j.waiting, i)
		if last.After(i.gap.From) {
			j.filled.closes = append(j.filled.closes, done{interval: i, to: last})
		}
	case short && last.Before(i.gap.To.Add(-b.a.cfg.PublishingInterval-i.node.ask.sampling)):
		l := lost(i, reasonEndsEarlier)
		if last.After(l.from) {
			l.from = earliest(last, l.to)
		}
		j.losses = append(j.losses, l)
	default:
		j.filled.closes = append(j.filled.closes, done{interval: i, to: i.gap.To})
	}
}

// ends tells whether history ends before the value at the end of the gap, which the server
// has had.
func (b *backFill) ends(i interval, last time.Time) bool {
	return i.exact && last.Before(i.gap.To.Add(-history.Around))
}

// settle queues what was judged.
func (b *backFill) settle(ctx context.Context, j *judged) error {
	b.a.cursors.wait(j.waiting)
	if len(j.filled.closes) > 0 {
		if err := b.putLate(ctx, j.filled); err != nil {
			return err
		}
	}
	if err := b.record(ctx, j.losses); err != nil {
		return err
	}
	return b.failed(ctx, j.passing, j.fault)
}

// reach tells of nodes whether their history begins before the gap: a historian need not
// have kept the value before it.
func (b *backFill) reach(ctx context.Context, r *history.Reader, list []interval) ([]bool, error) {
	if len(list) == 0 {
		return nil, nil
	}
	spans := make([]history.Span, len(list))
	for k, i := range list {
		spans[k] = history.Span{NodeID: i.place, From: i.gap.From.Add(-b.a.cfg.History.Lookback()), To: i.gap.From}
	}
	return r.Reaches(ctx, spans)
}

// errLearntType ends a reading of history: the library has dropped bytes of a type that it
// takes from now on.
var errLearntType = errors.New("values are of a type that was not known; they are read again")

// past makes the record of a value of history, as record does of one that comes live. What
// the library has dropped the bytes of is read once more.
func (b *backFill) past(ctx context.Context, i *interval, dv *ua.DataValue, now time.Time) (mes.Record, error) {
	known := b.types.Variable(i.place)
	r := i.node.record(dv, known, now)
	unknown := unknownType(&r)
	if unknown == nil || unknown.Encoding == nil || b.learnt[unknown.Encoding.String()] {
		return r, nil
	}
	b.learnt[unknown.Encoding.String()] = true
	ctx, cancel := context.WithTimeout(ctx, b.a.timing.link.Request)
	defer cancel()
	switch news := b.learn(ctx, i.node.nodeID, unknown); {
	case unknown.Lost:
		return r, errLearntType
	case !news:
		return r, nil
	}
	return i.node.record(dv, known, now), nil
}
