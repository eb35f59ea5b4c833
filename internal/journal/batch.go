package journal

import (
	"errors"
	"fmt"
	"io"

	"plantgate/internal/wal"
)

// Batch is one or several groups on their way into the store.
type Batch struct {
	Group
	// To is where the log goes on after it.
	To wal.Position
	// Bytes is what it takes in the log.
	Bytes int

	units []*UnitRecords
}

// Arrivals is the number of the newest record of the batch; 0 if it has none.
func (b *Batch) Arrivals() int64 {
	if len(b.Records) == 0 {
		return 0
	}
	return b.FirstArrival + int64(len(b.Records)) - 1
}

// Skip leaves out records that were applied already: those up to an arrival number.
func (b *Batch) Skip(arrivals int64) {
	b.skip(arrivals)
	b.units = nil
}

// Read fills b with what one frame says, which ends at the position.
func (b *Batch) Read(frame []byte, end wal.Position) error {
	b.reset()
	b.Bytes, b.units, b.To = len(frame), nil, end
	return b.appendFrame(frame)
}

// Reader reads the log in order from a position.
type Reader struct {
	// Pause, if it is set, is called all along the work of Next.
	Pause  func()
	frames *wal.Reader
}

// Reader returns a reader that begins at the position.
func (j *Journal) Reader(from wal.Position) *Reader { return &Reader{frames: j.log.Reader(from)} }

// Next fills b with what is durable by now, of at most about so many records and
// bytes, at least one group. It returns io.EOF if there is nothing.
func (r *Reader) Next(b *Batch, maxRecords, maxBytes int) error {
	b.reset()
	b.Bytes, b.units = 0, nil
	for b.Bytes == 0 || len(b.Records) < maxRecords && b.Bytes < maxBytes {
		frame, end, err := r.frames.Next()
		if errors.Is(err, io.EOF) && b.Bytes > 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.appendFrame(frame); err != nil {
			return fmt.Errorf("at %d: %w", end-wal.Position(len(frame)), err)
		}
		b.Bytes += len(frame)
		b.To = end
		if r.Pause != nil {
			r.Pause()
		}
	}
	return nil
}
