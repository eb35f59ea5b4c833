package mqtt

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/sparkplug"
)

// Bounds of what is kept of births.
const (
	// birthTimeout bounds the wait for the store, birthRetry is how long after a failure
	// it is not tried.
	birthTimeout = 5 * time.Second
	birthRetry   = 30 * time.Second
	// farewellTimeout bounds the wait for it at a stop.
	farewellTimeout = 2 * time.Second
	// maxUnkeptBytes bounds the births that wait for the store. Of one above it only is
	// kept that it counts no more.
	maxUnkeptBytes = 64 << 20
	// birthsDropped is how many births one transaction forgets.
	birthsDropped = 500
)

// birthKeeper keeps births in the store, by a goroutine of its own: messages wait for
// none, and an outage of the store holds up nobody. Of each address the last change is
// kept; that there are not more addresses than a host remembers bounds their number. What
// is not kept at a stop or a kill is known after it by the marks of the messages, and does
// not count.
type birthKeeper struct {
	connection string
	births     sparkplug.Births
	log        *slog.Logger
	retry      time.Duration
	maxBytes   int
	wake       chan struct{}

	mu sync.Mutex
	// puts are the births to be kept by their addresses, bytes their size; drops are
	// addresses to be forgotten. An address is in one of them.
	puts  map[string]*mes.SparkplugBirth
	bytes int
	drops map[string]bool
	// left counts the births that had no room since the store last took all.
	left int
}

func newBirthKeeper(connection string, births sparkplug.Births, log *slog.Logger) *birthKeeper {
	return &birthKeeper{
		connection: connection, births: births, log: log, retry: birthRetry, maxBytes: maxUnkeptBytes,
		wake: make(chan struct{}, 1), puts: map[string]*mes.SparkplugBirth{}, drops: map[string]bool{},
	}
}

// change takes a change over. It does not wait.
func (k *birthKeeper) change(c mes.SparkplugChange) {
	if c.IsEmpty() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, address := range c.Drop {
		k.drop(address)
	}
	if c.Put != nil {
		k.put(c.Put)
	}
	signal(k.wake)
}

func (k *birthKeeper) put(b *mes.SparkplugBirth) {
	k.drop(b.Address)
	if k.bytes+len(b.Payload) <= k.maxBytes {
		delete(k.drops, b.Address)
		k.puts[b.Address] = b
		k.bytes += len(b.Payload)
		return
	}
	if k.left == 0 {
		k.log.Warn("births of Sparkplug wait for the store and have no more room: after a restart their nodes are asked for them",
			"address", b.Address, "waiting", len(k.puts), "bytes", k.bytes)
	}
	k.left++
}

func (k *birthKeeper) drop(address string) {
	k.remove(address)
	k.drops[address] = true
}

func (k *birthKeeper) remove(address string) {
	if b := k.puts[address]; b != nil {
		k.bytes -= len(b.Payload)
		delete(k.puts, address)
	}
}

// next is a part of what waits: births are forgotten before others are kept.
func (k *birthKeeper) next() (c mes.SparkplugChange) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for address := range k.drops {
		if c.Drop = append(c.Drop, address); len(c.Drop) == birthsDropped {
			break
		}
	}
	slices.Sort(c.Drop)
	if len(c.Drop) > 0 {
		return c
	}
	for _, b := range k.puts {
		c.Put = b
		break
	}
	return c
}

// kept removes what the store took, as far as it has not changed since. A birth that came
// after its address was forgotten waits by itself.
func (k *birthKeeper) kept(c mes.SparkplugChange) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, address := range c.Drop {
		delete(k.drops, address)
	}
	if p := c.Put; p != nil && k.puts[p.Address] == p {
		k.remove(p.Address)
	}
	if len(k.puts)+len(k.drops) == 0 && k.left > 0 {
		k.log.Warn("births of Sparkplug had no room while the store was away", "births", k.left)
		k.left = 0
	}
}

// flush brings to the store what waits.
func (k *birthKeeper) flush(ctx context.Context) error {
	for {
		c := k.next()
		if c.IsEmpty() {
			return nil
		}
		once, cancel := context.WithTimeout(ctx, birthTimeout)
		err := k.births.ChangeSparkplugBirths(once, k.connection, c)
		cancel()
		if err != nil {
			return err
		}
		k.kept(c)
	}
}

// run keeps births until ctx ends, and then what is left, if the store takes it at once.
func (k *birthKeeper) run(ctx context.Context) {
	for {
		select {
		case <-k.wake:
		case <-ctx.Done():
			return
		}
		for err := k.flush(ctx); err != nil && ctx.Err() == nil; err = k.flush(ctx) {
			k.log.Warn("keeping births of Sparkplug failed", "error", err, "cause", errors.Unwrap(err), "retry_in", k.retry)
			if !sleep(ctx, k.retry) {
				return
			}
		}
	}
}

// finish keeps what is left at a stop.
func (k *birthKeeper) finish() {
	ctx, cancel := context.WithTimeout(context.Background(), farewellTimeout)
	defer cancel()
	if err := k.flush(ctx); err != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.log.Warn("births of Sparkplug were not kept; their nodes are asked for them at the next start",
			"births", len(k.puts)+len(k.drops), "error", err, "cause", errors.Unwrap(err))
	}
}
