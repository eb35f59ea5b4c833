package opcua

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/trust"
)

// lane is a session with one subscription, and the nodes that it brings. The client
// library keeps one publish request outstanding, and a server bounds what one subscription
// may have, so that a connection with many nodes has several. Each proves its life by
// itself and is built anew by itself. Only its own goroutine uses a lane, but for standing.
type lane struct {
	a      *Adapter
	number int // from 0
	nodes  []*node
	// handles are the nodes by what notifications name them by; clock is that of the
	// heartbeat, those after it up to last are of nodes.
	handles     map[uint32]*node
	clock, last uint32
	// subscribed is set once a subscription has worked.
	subscribed bool
	// shortLives counts sessions in a row that ended soon; probed is how many nodes were
	// read one by one since.
	shortLives, probed int
	// typeFailures counts sessions in a row that ended while the server's types were read.
	typeFailures int
	// heard is when a subscription last brought something, share by how much less history
	// is asked for than usual.
	heard time.Time
	share int
	// misnumbered counts sessions in a row that ended since messages were missing, though no
	// connection was lost.
	misnumbered int
	// crowded is since when the server refuses it a session; zero if it does not.
	crowded time.Time
	// left is what the last connection left at the server; nil if nothing can be taken up.
	// takeovers counts how often in a row that was tried, and brought nothing.
	left      *leftover
	takeovers int
	log       *slog.Logger
}

// supervise builds one session after the other until ctx ends. Between them the state
// tells why the last one ended, until the next one works.
func (l *lane) supervise(ctx, drainCtx context.Context) {
	wait := l.a.timing.newBackOff()
	l.stand(mes.AdapterConnecting, "")
	for ctx.Err() == nil {
		err := l.connection(ctx, drainCtx, wait)
		if ctx.Err() != nil {
			return
		}
		l.crowd(err)
		if sleep(ctx, l.pause(err, wait)) != nil {
			return
		}
	}
}

// stand sets where the lane stands and reports whether that is news.
func (l *lane) stand(state mes.AdapterState, detail string) bool {
	return l.a.status.stand(l.number, standing{state: state, detail: detail, nodes: len(l.nodes)})
}

// pause says how long to wait after err, and shows why.
func (l *lane) pause(err error, wait *backoff.ExponentialBackOff) time.Duration {
	var r *trust.Refusal
	if errors.As(err, &r) {
		if l.stand(mes.AdapterRefused, err.Error()) {
			l.log.Error("opcua: connection refused", "error", err)
		}
		if r.Soon() {
			return l.a.timing.undecided
		}
		return l.a.timing.refused
	}
	pause := max(wait.NextBackOff(), 0)
	level := slog.LevelDebug // the same reason again is no news
	if l.stand(mes.AdapterBackingOff, err.Error()) {
		level = slog.LevelWarn
	}
	l.log.Log(context.Background(), level, "opcua: not connected, will be retried", "pause", pause, "error", err)
	return pause
}

// connection is the life of one session: open, subscribe, receive, close.
func (l *lane) connection(ctx, drainCtx context.Context, wait *backoff.ExponentialBackOff) (err error) {
	s, err := l.open(ctx)
	if err != nil {
		return err
	}
	s.alive = wait.Reset
	s.drainCtx = drainCtx
	defer s.close()
	defer s.detachAlarms()
	if l.number == 0 {
		if err := l.a.deal(ctx, s.client, s.limits); err != nil {
			s.keep(ctx)
			return err
		}
	}
	since := time.Now()
	defer func() { l.lived(since, err, s.resumed) }()
	if err = s.begin(ctx); err == nil {
		stop := s.beginBackFill(ctx)
		err = s.receive(ctx)
		stop()
	}
	s.stopPublishing()
	s.leave(ctx, err)
	return err
}
