package broker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"golang.org/x/time/rate"
)

// discreet is a log handler that leaves out the attributes in which the MQTT
// server library puts whole packets, with payloads and passwords in them, and that makes
// no warnings of ordinary ends of connections.
type discreet struct{ slog.Handler }

func (d discreet) Handle(ctx context.Context, r slog.Record) error {
	level := r.Level
	var attrs []slog.Attr
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok && ordinary(err) {
			level = min(level, slog.LevelDebug)
		}
		if !tellsPacket(a.Key) {
			attrs = append(attrs, a)
		}
		return true
	})
	if !d.Handler.Enabled(ctx, level) {
		return nil
	}
	clean := slog.NewRecord(r.Time, level, r.Message, r.PC)
	clean.AddAttrs(attrs...)
	return d.Handler.Handle(ctx, clean)
}

// Enabled leaves out the library's information, which is every start and stop of its
// parts: its warnings are enough.
func (d discreet) Enabled(ctx context.Context, level slog.Level) bool {
	return level != slog.LevelInfo && d.Handler.Enabled(ctx, level)
}

func (d discreet) WithAttrs(attrs []slog.Attr) slog.Handler {
	var clean []slog.Attr
	for _, a := range attrs {
		if !tellsPacket(a.Key) {
			clean = append(clean, a)
		}
	}
	return discreet{d.Handler.WithAttrs(clean)}
}

func (d discreet) WithGroup(name string) slog.Handler {
	return discreet{d.Handler.WithGroup(name)}
}

func tellsPacket(key string) bool {
	switch key {
	case "pk", "packet", "will", "payload":
		return true
	}
	return false
}

// ordinary tells an end of a connection that says nothing: the client is gone, or the
// broker has closed the connection, for a reason that it has told.
func ordinary(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, mochi.ErrConnectionClosed)
}

// refusals tell of clients that are not let in, of a flood of them a part.
type refusals struct {
	once    sync.Once
	limiter *rate.Limiter
	unsaid  atomic.Int64
}

// Of refusals as many are told at once, and then one in each time.
const (
	refusalsAtOnce = 10
	refusalsEach   = 5 * time.Second
)

func (r *refusals) tell(log *slog.Logger, attrs ...any) {
	r.once.Do(func() { r.limiter = rate.NewLimiter(rate.Every(refusalsEach), refusalsAtOnce) })
	level := slog.LevelWarn
	if !r.limiter.Allow() {
		r.unsaid.Add(1)
		level = slog.LevelDebug
	} else if n := r.unsaid.Swap(0); n > 0 {
		attrs = append(attrs, "others_before", n)
	}
	log.Log(context.Background(), level, "an MQTT client was refused", attrs...)
}
