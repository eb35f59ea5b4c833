// Package outbox brings messages to where they are to go after what caused them was
// committed: a message is a row that is written in the same transaction, and goes when
// the receiver has taken it. It is delivered at least once, whatever happens to this
// program, and in order among those of one key.
//
// The package knows no transport: a target is a name, and who runs its queue gives the
// function that delivers.
package outbox

import (
	"context"
	"errors"
	"time"

	"plantgate/internal/mes"
)

// Message is one message on its way.
type Message struct {
	// Position is its place in the order of all, which the store gives.
	Position int64
	// ID is the same in every repetition; of a command it is the command's.
	ID mes.ID
	// Target names the connection that it goes by.
	Target string
	// Key is whose order counts, such as a machine: of those of one key and target one is
	// on its way at a time, the oldest.
	Key string
	// Topic is the address at the target.
	Topic   string
	Payload []byte
	// QoS is that of MQTT.
	QoS byte
	// Retained is a value that stands until the next of its topic: one that is put takes
	// the place of those of its key and topic that still wait. No payload clears it.
	Retained  bool
	CreatedAt time.Time
	// ExpiresAt is when it is not to be sent any more; zero is never.
	ExpiresAt time.Time
}

// Store keeps messages. Whoever writes for a connection that one of several servers has
// at a time proves its right in the same transaction, or gets mes.ErrLeaseLost; an owner
// of nil needs none.
type Store interface {
	// WaitingKeys lists the keys of a target's messages.
	WaitingKeys(ctx context.Context, target string) ([]string, error)
	// NextMessages lists the oldest messages of a key.
	NextMessages(ctx context.Context, target, key string, limit int) ([]Message, error)
	// MessageSent removes a message, and notes that what it was for was sent.
	MessageSent(ctx context.Context, m Message, at time.Time, owner *mes.Ownership) error
	// MessageExpired removes a message, and notes that what it was for was not sent.
	MessageExpired(ctx context.Context, m Message, at time.Time, owner *mes.Ownership) error
}

// Waiting is what waits for a target.
type Waiting struct {
	Messages int64
	// Oldest is when the oldest was put; zero if none waits.
	Oldest time.Time
}

// ErrAway is in the chain of an error of a Deliver that says that the target can't be
// reached at all: the queue rests until Connected.
var ErrAway = errors.New("the target is away")

// Deliver hands a message to the target, and returns nil once that has taken it.
type Deliver func(ctx context.Context, m Message) error
