package ingest

import (
	"sync/atomic"
	"time"

	"plantgate/internal/mes"
)

// Stats are counts since the service was made.
type Stats struct {
	// Created, Duplicates, Accepted, Quarantined and Rejected count records by
	// outcome, Refused those that found the queue full.
	Created, Duplicates, Accepted, Quarantined, Rejected, Refused int64
	// Groups counts commits, Batches the batches in them.
	Groups, Batches int64
	// CommitTime is the time spent in commits.
	CommitTime time.Duration
	// Waiting is how many records wait for the writer now.
	Waiting int
}

type counters struct {
	created, duplicates, accepted, quarantined, rejected, refused atomic.Int64
	groups, batches, commitNanos                                  atomic.Int64
}

func (c *counters) count(j *job) {
	for i := range j.receipts {
		switch j.receipts[i].Status {
		case mes.ReceiptCreated:
			c.created.Add(1)
		case mes.ReceiptDuplicate:
			c.duplicates.Add(1)
		case mes.ReceiptAccepted:
			c.accepted.Add(1)
		case mes.ReceiptQuarantined:
			c.quarantined.Add(1)
		case mes.ReceiptRejected:
			c.rejected.Add(1)
		}
	}
}

func (c *counters) observe(batches int, took time.Duration) {
	c.groups.Add(1)
	c.batches.Add(int64(batches))
	c.commitNanos.Add(int64(took))
}

// Stats returns the counts of this moment.
func (s *Service) Stats() Stats {
	c := &s.stats
	return Stats{
		Created: c.created.Load(), Duplicates: c.duplicates.Load(), Accepted: c.accepted.Load(), Quarantined: c.quarantined.Load(),
		Rejected: c.rejected.Load(), Refused: c.refused.Load(),
		Groups: c.groups.Load(), Batches: c.batches.Load(), CommitTime: time.Duration(c.commitNanos.Load()),
		Waiting: s.queue.depth(),
	}
}
