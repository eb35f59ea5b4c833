package app

import (
	"context"
	"log/slog"
	"sync"

	"plantgate/internal/apply"
	"plantgate/internal/follow"
	"plantgate/internal/lease"
	"plantgate/internal/store"
)

// SharedOptions are the settings of a Shared. The zero value of a field means its
// default.
type SharedOptions struct {
	// Server is the name of this server among those that share the database. It is
	// required, and no other has it.
	Server string
	Follow follow.Options
	Lease  lease.Options
	Logger *slog.Logger
}

// Shared is a database that several servers commit to: records are acknowledged when
// they are in it, and what follows from them is brought up to date behind, by the
// server that has the lane of their machine. Reads wait for that.
type Shared struct {
	*store.Store
	Intake   store.Intake
	follower *follow.Follower[*store.Tx]
	lanes    *lease.Keeper
}

// followingSteps is everything that follows from records that are stored, in the order
// in which it is brought up to date.
func followingSteps() []apply.Step[*store.Tx] {
	return []apply.Step[*store.Tx]{
		{Name: "equipment", Apply: store.NoteSightings},
		{Name: "newest values", Apply: store.PutLatest},
		{Name: "minutes to roll up", Apply: store.MarkRollups},
	}
}

// NewShared returns what a server does with a shared database while Run is under way.
func NewShared(s *store.Store, o SharedOptions) *Shared {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Follow.Logger == nil {
		o.Follow.Logger = o.Logger
	}
	if o.Lease.Logger == nil {
		o.Lease.Logger = o.Logger
	}
	names := make([]string, store.Lanes)
	for lane := range names {
		names[lane] = follow.LaneName(lane)
	}
	shared := &Shared{Store: s, Intake: s.Intake(), lanes: lease.New(s, "lane", o.Server, names, o.Lease)}
	shared.follower = follow.New(s, shared.lanes, followingSteps(), o.Follow)
	s.ReadAfter(shared.follower.Settle)
	return shared
}

// Run keeps leases and follows records until ctx ends.
func (s *Shared) Run(ctx context.Context) error {
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKeeping()
	var keeper sync.WaitGroup
	keeper.Go(func() { s.lanes.Run(keeping) })
	err := s.follower.Run(ctx)
	stopKeeping() // what is held is given back once nothing is written any more
	keeper.Wait()
	return err
}
