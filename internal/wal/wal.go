package wal

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Position is a byte offset in the endless log. Positions only grow, across
// restarts and recycled segments too.
type Position uint64

// Options are settings that have a usable zero value.
type Options struct {
	// SegmentSize is the size of the largest segments, in bytes; 0 means 64 MiB.
	// Segments begin with 4 MiB and grow with what waits for its release. A frame
	// that is larger gets a segment of its own.
	SegmentSize int64
	// MaxSize bounds the bytes that are kept; 0 means 4 GiB. On the disk there may
	// be two segments more.
	MaxSize int64
	// FS is the file system; nil is the system's. Tests use one that loses power.
	FS FS
}

const (
	defaultSegmentSize = 64 << 20
	defaultMaxSize     = 4 << 30
	// firstSize keeps idle logs small.
	firstSize = 4 << 20
)

// The errors that callers tell apart.
var (
	// ErrFull says that there is no room for a frame; nothing of it was written.
	ErrFull = errors.New("the log is full")
	// ErrFailed says that the disk failed, or that files were taken away: what is on
	// the disk is unknown to the process, which must end.
	ErrFailed = errors.New("the log failed")
	// ErrDamaged says that frames in the middle of the log can't be read.
	ErrDamaged = errors.New("the log is damaged")
	// ErrLocked says that another process, or another part of this, has the log.
	ErrLocked = errors.New("the log is in use by another process")
	// ErrReleased says that the frames at a position are gone.
	ErrReleased = errors.New("the position was released")
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("the log is closed")
)

// LockedError is an ErrLocked that knows who has the log.
type LockedError struct {
	// PID is the number of the process, as it saw itself; 0 is unknown.
	PID int
}

// Error implements error.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return ErrLocked.Error()
	}
	return fmt.Sprintf("%s (pid %d)", ErrLocked, e.PID)
}

// Is implements errors.Is for ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// Log is an open log. Its methods are safe for concurrent use.
type Log struct {
	fs     FS
	folder string
	opts   Options
	id     uint64
	lock   io.Closer

	// appending is held by whoever writes frames, frame is what they write.
	appending sync.Mutex
	frame     []byte

	// removing is held by whoever takes segments away.
	removing sync.Mutex
	doomed   []*segment // detached, but perhaps still in the folder

	wake     chan struct{} // asks for a spare segment; closed by Close
	preparer sync.WaitGroup

	mu       sync.Mutex // guards what follows, and is never held during writes
	segments []*segment // oldest first; frames go to the last
	end      Position
	released Position
	doubt    string // see Doubt
	spare    spare
	changed  *sync.Cond // the spare did
	failed   error
	refused  error     // see Refused
	asked    time.Time // when Refused last had it tried again
	closed   bool
}

// segment is a file of the log.
type segment struct {
	first Position
	end   Position // of its last frame; of the last segment Log.end counts
	size  int64    // of the file
	file  File     // nil until somebody reads or writes it
}

// room is how many bytes of frames fit into it.
func (s *segment) room() int64 { return s.size - headerSize }

// Open opens the log in the folder and makes both if need be. It fails with
// ErrLocked while another has the log, and with ErrDamaged, the file and the
// offset if frames can't be read that others follow. What a power cut left of
// the last append is not counted.
func Open(folder string, o Options) (*Log, error) {
	if o.SegmentSize <= 0 {
		o.SegmentSize = defaultSegmentSize
	}
	if o.MaxSize <= 0 {
		o.MaxSize = defaultMaxSize
	}
	if o.FS == nil {
		o.FS = System()
	}
	l := &Log{fs: o.FS, folder: folder, opts: o, wake: make(chan struct{}, 1)}
	l.changed = sync.NewCond(&l.mu)
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("wal: open the log in %s: %w", folder, err)
	}
	l.preparer.Go(l.prepare)
	if len(l.segments) == 0 {
		l.wake <- struct{}{}
	}
	return l, nil
}

// Doubt says why the end of the log that was found may not be where the process before
// left it; "" if nothing speaks for that. What it says is for a person to read.
func (l *Log) Doubt() string { return l.doubt }

// ID returns a number that tells this log from every other, such as one that is
// made in the same folder after this was deleted.
func (l *Log) ID() uint64 { return l.id }

// First returns the position of the oldest frame that can be read.
func (l *Log) First() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first()
}

func (l *Log) first() Position {
	if len(l.segments) == 0 {
		return l.end
	}
	return l.segments[0].first
}

// End returns the position behind the newest frame that is durable.
func (l *Log) End() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// Size returns how many bytes are kept, that is, were not released. After Open
// it counts all that is in the folder.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(l.end - l.released)
}

// Refused returns why the last append could not be made for want of a file to go to, as
// on a full disk; nil once there is room again, which it has tried now and then.
func (l *Log) Refused() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused == nil || l.closed || l.spare.busy || time.Since(l.asked) < betweenTries {
		return l.refused
	}
	l.asked = time.Now()
	l.spare.failed = false
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return l.refused
}

// betweenTries is how often at most it is tried whether there is room again.
const betweenTries = time.Second

// Close waits for the append at work and gives the log up. Readers fail from then
// on.
func (l *Log) Close() error {
	l.appending.Lock()
	defer l.appending.Unlock()
	l.removing.Lock()
	defer l.removing.Unlock()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.wake)
	l.mu.Unlock()
	l.preparer.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closeFiles()
}

// closeFiles closes whatever is open. What was appended is durable already.
func (l *Log) closeFiles() error {
	var err error
	for _, s := range slices.Concat(l.doomed, l.segments) {
		err = errors.Join(err, s.close())
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}

func (s *segment) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// usable returns the error of every call after a failure or Close. The caller
// holds mu.
func (l *Log) usable() error {
	if l.closed {
		return ErrClosed
	}
	return l.failed
}

// fail makes every later append fail with the error.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return l.failed
}
