// Package lease says which of several servers does what only one may do at a time:
// own a connection to the floor, follow the records of some machines. The database
// that they share holds one row for each such thing; whoever writes as its owner
// proves it in the same transaction, so that an owner that was held up and comes back
// late changes nothing.
package lease

import (
	"context"
	"time"

	"plantgate/internal/mes"
)

// Lease is the right to do one thing. An epoch has one owner, and one process of that name.
type Lease struct {
	Name  string
	Owner string // "" if it is free
	// Epoch counts the owners, and their new starts.
	Epoch int64
	// ExpiresAt is by the clock of the database, and says nothing here but whether the
	// owner renewed it since it was read last.
	ExpiresAt time.Time
	// Expired tells whether that time had come when it was read.
	Expired bool
}

// Ownership is the lease as what a record was received by.
func (l Lease) Ownership() mes.Ownership {
	return mes.Ownership{Lease: l.Name, Server: l.Owner, Epoch: l.Epoch}
}

// Store keeps leases.
type Store interface {
	// Leases lists those whose names begin with prefix.
	Leases(ctx context.Context, prefix string) ([]Lease, error)
	// ClaimLease takes a lease whose last epoch was the one given, 0 for one that was
	// never there, unless somebody has it. It tells whether it did.
	ClaimLease(ctx context.Context, name, owner string, epoch int64, keep time.Duration) (Lease, bool, error)
	// ResumeLease begins a new epoch of a lease that is still its owner's, which goes on
	// with it after a new start: whoever else goes on with the old epoch has lost it.
	ResumeLease(ctx context.Context, l Lease, keep time.Duration) (Lease, bool, error)
	// RenewLease tells whether the lease is still its owner's, and keeps it so for so
	// long from now.
	RenewLease(ctx context.Context, l Lease, keep time.Duration) (bool, error)
	// ReleaseLease gives a lease back, if it is still its owner's.
	ReleaseLease(ctx context.Context, l Lease) error
}
