// Package bridge publishes by MQTT what an OPC UA connection has stored, in the two shapes
// that subscribers of such data know: a snapshot of all variables, and one variable at a
// time. It comes after the store: what is published is committed, and no subscriber waits
// for what a broker or the outbox is doing.
package bridge

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/outbox"
)

// Settings say what is published, and where.
type Settings struct {
	// Connection is the name of the OPC UA connection, Target the target of the outbox.
	Connection string
	Target     string
	// Snapshot and Variable give the topics of a machine; nil publishes nothing of that
	// shape.
	Snapshot, Variable Topic
	QoS                byte
	// Retained messages stand at the broker until the next of their topic.
	Retained bool
	// MaxAge is how long a message may wait for the broker; zero is for ever.
	MaxAge time.Duration
	// MaxWaiting bounds the messages of the target that wait in the outbox; what comes
	// while there are more is not published.
	MaxWaiting int64
	// Variables are what the connection reads, in the order of the snapshot.
	Variables []Variable
}

// Topic is the topic for a machine.
type Topic func(siteID, machineID string) (string, error)

// Variable is a signal of a machine.
type Variable struct{ SiteID, MachineID, Signal string }

// VariablesOf are what a connection reads, in the order of its configuration.
func VariablesOf(cfg config.OPCUAConnection, defaultSite string) []Variable {
	var list []Variable
	for _, m := range cfg.Machines {
		for _, n := range m.Nodes {
			list = append(list, Variable{cmp.Or(m.SiteID, cfg.SiteID, defaultSite), m.MachineID, n.SignalName()})
		}
	}
	return list
}

// Store is where messages wait.
type Store interface {
	// EnqueueMessages puts messages into the outbox, all or none. While the database is
	// away the error has mes.ErrStoreAway in its chain.
	EnqueueMessages(ctx context.Context, list []outbox.Message) error
	// WaitingOf counts what waits for a target.
	WaitingOf(ctx context.Context, target string) (outbox.Waiting, error)
}

// Queue is what brings messages to the broker.
type Queue interface {
	// Wake tells that there are some.
	Wake()
	// Drop tells that some were left out for want of room.
	Drop(n int)
}

// Deps is what a bridge needs of the program.
type Deps struct {
	Store  Store
	Queue  Queue
	Now    func() time.Time
	Logger *slog.Logger
}

// Bridge publishes what one connection stores. Ingest is called by one goroutine.
type Bridge struct {
	settings  Settings
	snapshots map[string]*snapshot // by topic
	// newest is the time of the last value of each variable.
	newest map[Variable]time.Time
	sender *sender
	log    *slog.Logger
}

// New fails where a variable has no topic.
func New(s Settings, deps Deps) (*Bridge, error) {
	b := &Bridge{
		settings: s, snapshots: map[string]*snapshot{}, newest: map[Variable]time.Time{},
		sender: newSender(s, deps), log: deps.Logger.With("connection", s.Connection),
	}
	if s.Snapshot == nil {
		return b, nil
	}
	for _, v := range s.Variables {
		name, err := s.Snapshot(v.SiteID, v.MachineID)
		if err != nil {
			return nil, fmt.Errorf("snapshot_topic: %w", err)
		}
		b.of(name).add(v.Signal)
	}
	return b, nil
}

func (b *Bridge) of(name string) *snapshot {
	s := b.snapshots[name]
	if s == nil {
		s = &snapshot{values: map[string]mes.Value{}}
		b.snapshots[name] = s
	}
	return s
}

// Ingester is next, and publishes what next has stored. A record that can't be published
// is stored all the same.
func (b *Bridge) Ingester(next ingest.Ingester) ingest.Ingester { return after{b, next} }

// Run sends what had to wait for the database, until ctx ends.
func (b *Bridge) Run(ctx context.Context) { b.sender.run(ctx) }

type after struct {
	bridge *Bridge
	next   ingest.Ingester
}

// Ingest implements ingest.Ingester.
func (a after) Ingest(ctx context.Context, batch []mes.Record) ([]mes.Receipt, error) {
	receipts, err := a.next.Ingest(ctx, batch)
	if err == nil {
		a.bridge.sender.send(a.bridge.messages(batch, receipts))
	}
	return receipts, err
}
