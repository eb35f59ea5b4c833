package broker

import (
	"context"
	"log/slog"
)

// discreet is a log handler that leaves out the attributes in which the MQTT
// server library puts whole packets, with payloads and passwords in them.
type discreet struct{ slog.Handler }

func (d discreet) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	if clean.Message == "" {
		clean.Message = "MQTT client ended"
	}
	// The library tells every start and stop of its parts as information.
	r.Attrs(func(a slog.Attr) bool {
		if !tellsPacket(a.Key) {
			clean.AddAttrs(a)
		}
		return true
	})
	return d.Handler.Handle(ctx, clean)
}

// Enabled leaves out the library's information: its warnings are enough.
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
