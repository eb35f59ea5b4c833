package opcua

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

const (
	// mostShare bounds by how much less history is asked for than usual.
	mostShare = 64
	// maxEnded is how many sessions may end by the history of a node.
	maxEnded = 3
)

// backFill looks after the gaps of a session's nodes: it reads the server's history where
// there is one, and records what is lost where there is none. It has a goroutine of its
// own, which ends with the session; what it has not done by then it does in the next.
type backFill struct {
	*session
	// offers tells of nodes whether the server has a history of them.
	offers map[*track]bool
	// learnt are the encodings that were asked for.
	learnt map[string]bool
	began  time.Time
	// asking are the nodes of the call that failed; progressed is set once a value came that
	// was looked for.
	asking     []interval
	progressed bool
	// settledFirsts is set once the first values need not be waited for any more,
	// overflowsAt is when overflows are looked at next.
	settledFirsts bool
	overflowsAt   time.Time
}

// beginBackFill runs it until the returned function is called, which waits for its end.
func (s *session) beginBackFill(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.follow()
	b := &backFill{session: s, offers: map[*track]bool{}, learnt: map[string]bool{}, began: time.Now()}
	var running sync.WaitGroup
	running.Go(func() { b.run(ctx) })
	return func() { cancel(); running.Wait() }
}

// follow tells which nodes the session has.
func (s *session) follow() {
	list := make([]*track, len(s.nodes))
	for i, n := range s.nodes {
		list[i] = n.track
	}
	s.tracks.Store(&list)
}

func (b *backFill) run(ctx context.Context) {
	wait := growing(time.Second, time.Minute, 2)
	for sleep(ctx, b.a.timing.look) == nil {
		if !b.firstsCame() {
			continue
		}
		list := b.due()
		if len(list) == 0 {
			continue
		}
		b.asking, b.progressed = nil, false
		err := b.fill(ctx, list)
		if err == nil {
			wait.Reset()
			b.share = max(b.share/2, 1)
			continue
		}
		if errors.Is(err, errLearntType) {
			continue
		}
		if ctx.Err() != nil {
			b.endedBy()
			return // the session's end tells why
		}
		if undecodable(err) { // as the next answer would be, if it were asked for in the same way
			b.endedBy()
			continue
		}
		b.share = min(max(b.share, 1)*2, mostShare)
		pause := max(wait.NextBackOff(), 0)
		b.log.Warn("opcua: history could not be read, will be retried", "nodes", len(list), "pause", pause, "error", err)
		if sleep(ctx, pause) != nil {
			return
		}
	}
}

// firstsCame tells whether every node has shown where it stands, or has had the time to:
// what is missing of a machine is looked for at once.
func (b *backFill) firstsCame() bool {
	if !b.settledFirsts {
		b.settledFirsts = time.Since(b.began) > b.a.timing.firsts || !b.a.cursors.awaits(*b.tracks.Load())
	}
	return b.settledFirsts
}

// due are the gaps to be looked at. Overflows are gathered for a while, so that a server
// whose queues overflow all the time makes few records.
func (b *backFill) due() []interval {
	now := time.Now()
	overflows := !now.Before(b.overflowsAt)
	list := b.a.cursors.due(*b.tracks.Load(), overflows)
	for _, i := range list {
		if i.overflow {
			b.overflowsAt = now.Add(b.a.timing.overflows)
			break
		}
	}
	return list
}

// fill reads what is missing, or records that it is lost.
func (b *backFill) fill(ctx context.Context, list []interval) error {
	list, losses := b.eligible(list)
	if err := b.record(ctx, losses); err != nil {
		return err
	}
	list, losses, err := b.offered(ctx, list)
	if err != nil {
		return b.failed(ctx, list, err)
	}
	if err := b.record(ctx, losses); err != nil || len(list) == 0 {
		return err
	}
	if err := b.failed(ctx, list, b.read(ctx, list)); err != nil {
		return err
	}
	return b.drained(ctx)
}

// endedBy notes that a call had an answer that the library can't decode, or that is too long
// for it, or that the session has ended in the middle of a call, which may be for the same
// reason. So less is asked for the next time, and a node that was asked for by itself, and by
// whose history calls end, is given up some time.
func (b *backFill) endedBy() {
	if len(b.asking) == 0 || b.progressed {
		return
	}
	b.share = min(max(b.share, 1)*2, mostShare)
	if len(b.asking) == 1 {
		b.a.cursors.ended(b.asking[0].track)
	}
}

// failed counts an attempt, and gives up on nodes that had enough.
func (b *backFill) failed(ctx context.Context, list []interval, err error) error {
	if err == nil || errors.Is(err, errLearntType) || undecodable(err) {
		return err
	}
	if sleep(ctx, b.a.timing.look) != nil { // the session may have ended with it
		return err
	}
	b.a.cursors.failed(list)
	var losses []loss
	for _, i := range list {
		if i.tries+1 >= b.a.timing.attempts {
			losses = append(losses, lost(i, reasonFailed))
		}
	}
	return errors.Join(err, b.record(ctx, losses))
}

// eligible cuts off what is too old to be read, or can't be.
func (b *backFill) eligible(list []interval) (left []interval, losses []loss) {
	limit := b.limit()
	for _, i := range list {
		switch {
		case i.ended >= maxEnded:
			losses = append(losses, lost(i, reasonFailed))
		case !i.node.history:
			losses = append(losses, lost(i, reasonHistoryOff))
		case i.untimed:
			losses = append(losses, lost(i, reasonNoSourceTime))
		case !i.gap.To.After(limit):
			losses = append(losses, lost(i, reasonTooOld))
		case i.gap.Since.Before(limit) && i.gap.From.Before(limit): // or since it is not known when
			l := lost(i, reasonTooOld)
			l.done.to, l.since, l.to = limit, limit, limit
			losses = append(losses, l)
			// What is left is looked at when that is stored.
		default:
			left = append(left, i)
		}
	}
	return left, losses
}

// limit is how far history is read back: not so far that what it says is too old to be
// stored by then.
func (b *backFill) limit() time.Time {
	back := b.a.cfg.History.Lookback()
	if keep := b.a.deps.Retention; keep > 0 {
		back = min(back, keep-keep/100)
	}
	return mes.Micros(b.a.deps.Now().Add(-back))
}

// offered asks which nodes have a history.
func (b *backFill) offered(ctx context.Context, list []interval) (left []interval, losses []loss, err error) {
	var unknown []interval
	for _, i := range list {
		if _, known := b.offers[i.track]; !known {
			unknown = append(unknown, i)
		}
	}
	for len(unknown) > 0 {
		part := unknown[:min(len(unknown), maxItemsPerCall, max(b.limits.NodesPerRead/2, 1))]
		if err := b.ask(ctx, part); err != nil {
			return list, nil, err
		}
		unknown = unknown[len(part):]
	}
	for _, i := range list {
		if b.offers[i.track] {
			left = append(left, i)
		} else {
			losses = append(losses, lost(i, reasonNoHistory))
		}
	}
	return left, losses, nil
}

// historyRead is the bit of AccessLevel that says so (OPC 10000-3, 8.57).
const historyRead = 0x04

// ask reads AccessLevel and Historizing of nodes.
func (b *backFill) ask(ctx context.Context, list []interval) error {
	ctx, cancel := context.WithTimeout(ctx, b.a.timing.link.Request)
	defer cancel()
	attributes := []ua.AttributeID{ua.AttributeIDAccessLevel, ua.AttributeIDHistorizing}
	req := &ua.ReadRequest{TimestampsToReturn: ua.TimestampsToReturnNeither}
	for _, i := range list {
		for _, attribute := range attributes {
			req.NodesToRead = append(req.NodesToRead, &ua.ReadValueID{NodeID: i.place, AttributeID: attribute, DataEncoding: &ua.QualifiedName{}})
		}
	}
	res, err := b.client.Read(ctx, req)
	if err != nil {
		return fmt.Errorf("read which nodes have a history: %w", err)
	}
	if len(res.Results) != len(req.NodesToRead) {
		return fmt.Errorf("the server gave %d values for %d attributes", len(res.Results), len(req.NodesToRead))
	}
	for k, i := range list {
		offers := false
		for _, v := range res.Results[k*len(attributes):][:len(attributes)] {
			if v == nil || v.Value == nil {
				continue
			}
			switch value := v.Value.Value().(type) {
			case uint8:
				offers = offers || value&historyRead != 0
			case bool:
				offers = offers || value
			}
		}
		b.offers[i.track] = offers
	}
	return nil
}

// record queues what is lost.
func (b *backFill) record(ctx context.Context, losses []loss) error {
	for _, e := range gapEntries(losses, mes.Micros(b.a.deps.Now())) {
		b.log.Warn("opcua: values may be lost", "machine", e.record.MachineID, "reason", e.record.Signals[3].Value.Text(),
			"from", e.record.Signals[2].Value.Text(), "to", e.record.Signals[5].Value.Text(), "signals", len(e.closes))
		if err := b.putLate(ctx, e); err != nil {
			return err
		}
	}
	if len(losses) > 0 {
		return b.drained(ctx)
	}
	return nil
}

// drained waits until what was put before is stored, so that a gap is not looked at twice.
func (b *backFill) drained(ctx context.Context) error {
	stored := make(chan struct{})
	if err := b.putLate(ctx, entry{kind: entryClose, stored: stored}); err != nil {
		return err
	}
	select {
	case <-stored:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *backFill) putLate(ctx context.Context, e entry) error {
	select {
	case b.a.queue.late <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// since is when nothing came any more before this session, by plantgate's clock: what was
// sampled shortly before the last answer may not have been in it.
func (s *session) since() time.Time {
	if s.heard.IsZero() {
		return time.Time{}
	}
	return mes.Micros(s.heard.Add(-s.a.cfg.PublishingInterval))
}

// noteHeard has it noted that everything up to now is stored, once it is.
func (s *session) noteHeard() {
	select {
	case s.a.queue.live <- entry{kind: entryHeard, lane: s.number, at: s.since()}:
	default:
	}
}
