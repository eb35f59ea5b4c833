package sessions

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"

	"plantgate/internal/wal"
)

// Options are the limits of a registry and what it works with.
type Options struct {
	// Folder is where the log stands; "" keeps everything in memory.
	Folder string
	// MaxQueued and MaxQueuedBytes bound what waits for one session, QoS 1 and 2; the
	// same bounds hold for QoS 0 to a client that reads slowly.
	MaxQueued, MaxQueuedBytes int
	// MaxBytes bounds what waits for all sessions: a message counts once, and each place
	// in a session's queue besides. What was kept before a start is kept also beyond it.
	MaxBytes int
	// MaxRetained and MaxRetainedBytes bound the retained messages.
	MaxRetained, MaxRetainedBytes int
	// MaxSessions bounds the persistent sessions.
	MaxSessions int
	// MaxLog bounds the log on the disk, in bytes; 0 is 8 GiB. It is written anew when it
	// has half of that, at the latest.
	MaxLog int64
	// MaxFrame is from how many bytes on a frame of the log takes nothing more; 0 is
	// 64 MiB. What a message or a change needs may come on top, and the log takes 1 GiB.
	MaxFrame int
	// MaxInflight is how many messages of QoS 1 and 2 may be under way to one client.
	MaxInflight int
	// MayReceive tells whether a client may get messages of a topic. It is asked at
	// every delivery, since a session outlives its rights.
	MayReceive func(user, clientID, topic string) bool
	Log        *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// FS is the file system of the log; nil is the system's.
	FS wal.FS
}

// Errors of a registry.
var (
	// ErrTooMany says that there are MaxSessions persistent sessions.
	ErrTooMany = errors.New("there are too many persistent sessions")
	// ErrOtherUser says that the client id is that of another user's session.
	ErrOtherUser = errors.New("the client id belongs to another user")
	// ErrClosed says that the registry was closed.
	ErrClosed = errors.New("the broker has stopped")
	// ErrEnded says that the session has ended meanwhile.
	ErrEnded = errors.New("the session has ended")
)

// Times of the log.
const (
	// lazily is how long acknowledgements wait for a commit that takes them along.
	lazily = 200 * time.Millisecond
	// again is the pause after a failure to write to the log.
	again = time.Second
)

// compactAt is how large the log becomes, at least, before it is written anew.
const compactAt = 16 << 20

// maxLog is room for several times the largest state that the configuration allows,
// maxFrame far from the most that the log takes.
const (
	maxLog   = 8 << 30
	maxFrame = 64 << 20
)

// compactRest is the pause after a failure to write the log anew.
const compactRest = 10 * time.Second

// Registry holds all sessions and retained messages.
type Registry struct {
	opts  Options
	log   *wal.Log // nil keeps in memory only
	now   func() time.Time
	stats stats

	mu       sync.Mutex // guards the state; never held during writes
	sessions map[string]*Session
	topics   *mochi.TopicsIndex // subscriptions and retained messages
	retained map[string]*message
	order    uint64

	lazyMu sync.Mutex
	dirty  map[*Session]struct{} // with acknowledgements to be logged

	rest    time.Time // of the committer: until when the log is not written anew
	work    work
	done    chan struct{} // the committer has ended
	failed  chan struct{} // closed when the disk failed
	writers sync.WaitGroup
}

// Open reads the log, if there is a folder, and begins to commit. What is kept for
// clients is there; none is connected.
func Open(o Options) (*Registry, error) {
	r := &Registry{
		opts: o, now: o.Now, dirty: map[*Session]struct{}{},
		done: make(chan struct{}), failed: make(chan struct{}),
	}
	if r.opts.MaxLog == 0 {
		r.opts.MaxLog = maxLog
	}
	if r.opts.MaxFrame == 0 {
		r.opts.MaxFrame = maxFrame
	}
	if r.now == nil {
		r.now = time.Now
	}
	r.work.wake = make(chan struct{}, 1)
	r.reset()
	if o.Folder != "" {
		log, err := wal.Open(o.Folder, wal.Options{FS: o.FS, MaxSize: r.opts.MaxLog})
		if err != nil {
			return nil, fmt.Errorf("the sessions of the broker: %w", err)
		}
		r.log = log
		if doubt := log.Doubt(); doubt != "" {
			o.Log.Warn("the end of the broker's log may be missing", "reason", doubt)
		}
		if err := r.recover(); err != nil {
			return nil, errors.Join(fmt.Errorf("the sessions of the broker: %w", err), log.Close())
		}
	}
	go r.run()
	return r, nil
}

// reset forgets everything.
func (r *Registry) reset() {
	r.sessions, r.retained, r.topics = map[string]*Session{}, map[string]*message{}, mochi.NewTopicsIndex()
	r.order = 0
	r.stats.reset()
}

// Failed is closed when the disk failed: what it holds is unknown, and the program has
// to end.
func (r *Registry) Failed() <-chan struct{} { return r.failed }

// Close writes what waits and closes the log. No client may be attached any more.
func (r *Registry) Close() error {
	r.work.close()
	<-r.done
	r.mu.Lock()
	for _, s := range r.sessions {
		s.mu.Lock()
		if s.stop != nil {
			close(s.stop)
			s.stop, s.conn = nil, nil
		}
		s.mu.Unlock()
	}
	r.mu.Unlock()
	r.writers.Wait()
	if r.log == nil {
		return nil
	}
	return r.log.Close()
}

// Lookup returns the session of a client.
func (r *Registry) Lookup(clientID string) (*Session, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.sessions[clientID]
	return s, ok
}

// unref lets a message go that one item less leads to.
func (r *Registry) unref(m *message) {
	if m.refs.Add(-1) == 0 {
		r.stats.queuedBytes.Add(-int64(m.size()))
	}
}

func (r *Registry) ref(m *message) {
	if m.refs.Add(1) == 1 {
		r.stats.queuedBytes.Add(int64(m.size()))
	}
}

func (r *Registry) drop(reason Reason, n int64) { r.stats.dropped[reason].Add(n) }
