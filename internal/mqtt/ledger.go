package mqtt

import (
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/sparkplug"
)

// Deliveries tells what came last by a connection of what has no identity of its own. Each is
// kept in the commit of its message.
type Deliveries interface {
	// ConnectionDeliveries are the newest of each name, in the order of their numbers.
	ConnectionDeliveries(ctx context.Context, connection string) ([]mes.Delivery, error)
}

// ledgerSize is how many deliveries are remembered: as many as acknowledgements may be on
// their way. Brokers with a window have few; Mosquitto does not keep to its own, and reads
// acknowledgements late when it is busy.
const ledgerSize = 1 << 14

// certainPart is how many messages in succession must be the same for a piece to be taken
// for what was stored of which the end has not come yet.
const certainPart = 8

// retainedPrefix begins the name of a delivery that a topic has as its retained message; those
// of deliveries are places from 0 up.
const retainedPrefix = mes.DeliveryRetained

// content is of a topic and a payload, or of a topic.
type content = [16]byte

// ledger knows the last deliveries of a connection that have no identity of their own,
// neither a time nor a message id: so that what the broker sends again is not taken for
// something new, and a retained message not for a new reading at each connect.
type ledger struct {
	connection string
	next       int64
	recent     []delivered
	// retained is the last message of each topic that has a retained one: of the topics of
	// which something came last, as the store has them.
	retained    map[content]retained
	maxRetained int
	// shown are the contents of the last retained messages that came, whatever came since.
	shown []content
	// owed are deliveries that go with the next message.
	owed []mes.Delivery
	// live is the content of the last message of each other topic, as far as there is
	// room.
	live map[content]content
}

// maxShown bounds the retained messages that are remembered: a broker sends again those
// that it was not told of before the connection ended.
const maxShown = 1024

// maxLiveTopics bounds the topics whose last message is remembered in memory.
const maxLiveTopics = 1 << 14

// retained is the last message of a topic.
type retained struct {
	number  int64
	content content
}

// delivered is a message that was stored.
type delivered struct {
	number  int64
	content content
	// unacknowledged means that the connection had ended before the broker could be told:
	// it will send the message again.
	unacknowledged bool
}

// ledgerName is under which name a connection keeps what came: its own, or, where each of
// several servers has a session of its own, one for each.
func ledgerName(cfg config.MQTTConnection) string {
	if cfg.SharedGroup == "" {
		return cfg.Name
	}
	client := mes.ContentOf([]byte(cfg.ClientID))
	return cfg.Name + "@" + hex.EncodeToString(client[:])
}

// openLedger reads what earlier processes noted.
func openLedger(ctx context.Context, kept Deliveries, connection string) (*ledger, error) {
	l := &ledger{connection: connection, retained: map[content]retained{}, maxRetained: mes.MaxRetainedDeliveries, live: map[content]content{}}
	if kept == nil {
		return l, nil
	}
	list, err := kept.ConnectionDeliveries(ctx, connection)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		if sparkplug.IsMark(d.Name) {
			continue
		}
		l.next = max(l.next, d.Number+1)
		if name, ok := strings.CutPrefix(d.Name, retainedPrefix); ok {
			var topic content
			if _, err := hex.Decode(topic[:], []byte(name)); err == nil {
				l.retain(topic, retained{d.Number, d.Content})
			}
			continue
		}
		l.recent = append(l.recent, delivered{number: d.Number, content: d.Content})
	}
	return l, nil
}

// repeatsRetained tells whether a retained message is the last of its topic, which has
// come already: as a retained one, or live before the topic was known to have one.
func (l *ledger) repeatsRetained(d *delivery) bool {
	topic, c := mes.ContentOf([]byte(d.Topic)), d.content()
	if d.dup && slices.Contains(l.shown, c) {
		return true
	}
	if l.shown = append(l.shown, c); len(l.shown) > 2*maxShown {
		l.shown = slices.Delete(l.shown, 0, maxShown)
	}
	if before, known := l.retained[topic]; known {
		return before.content == c
	}
	before, known := l.live[topic]
	if !known {
		known = slices.ContainsFunc(l.recent, func(d delivered) bool { return d.content == c })
		before = c
	}
	if !known || before != c {
		return false
	}
	l.retain(topic, retained{l.next, c})
	l.owed = append(l.owed, l.retainedDelivery(topic, c))
	l.next++
	return true
}

// retain remembers the last message of a topic. When there are an eighth more topics than
// are kept, those are forgotten of which nothing has come for longest.
func (l *ledger) retain(topic content, last retained) {
	l.retained[topic] = last
	if len(l.retained) <= l.maxRetained+l.maxRetained/8 {
		return
	}
	numbers := make([]int64, 0, len(l.retained))
	for _, r := range l.retained {
		numbers = append(numbers, r.number)
	}
	slices.Sort(numbers)
	oldest := numbers[len(numbers)-l.maxRetained]
	maps.DeleteFunc(l.retained, func(_ content, r retained) bool { return r.number < oldest })
}

func (l *ledger) retainedDelivery(topic, c content) mes.Delivery {
	return mes.Delivery{Connection: l.connection, Name: retainedPrefix + hex.EncodeToString(topic[:]), Number: l.next, Content: c}
}

// note returns the deliveries of a message that is about to be stored, and its number. The
// broker sends it again if it is of QoS 1 or 2 and not one of the retained that it sends
// at each subscription anyway.
func (l *ledger) note(d *delivery) []mes.Delivery {
	list := l.owed
	l.owed = nil
	c := d.content()
	d.number = l.next
	topic := mes.ContentOf([]byte(d.Topic))
	switch _, known := l.retained[topic]; {
	case known && d.Retained && d.dup:
		// An old one that comes late; the present one comes with the subscription.
	case known || d.Retained:
		l.retain(topic, retained{l.next, c})
		list = append(list, l.retainedDelivery(topic, c))
	default:
		if len(l.live) >= maxLiveTopics {
			clear(l.live)
		}
		l.live[topic] = c
	}
	if d.comesAgain() {
		list = append(list, mes.Delivery{
			Connection: l.connection, Name: strconv.FormatInt(l.next%ledgerSize, 10), Number: l.next, Content: c,
		})
		l.recent = append(l.recent, delivered{number: l.next, content: c, unacknowledged: true})
		if len(l.recent) > 2*ledgerSize {
			l.recent = append(l.recent[:0], l.recent[len(l.recent)-ledgerSize:]...)
		}
	}
	l.next++
	return list
}

// acknowledge takes note that the broker was told of a message, and so of those before
// it.
func (l *ledger) acknowledge(number int64) {
	for i := len(l.recent) - 1; i >= 0 && l.recent[i].unacknowledged; i-- {
		l.recent[i].unacknowledged = l.recent[i].number > number
	}
}

// overlay tells how many of the messages that a broker sends again, in their order, are
// the last of those that were stored: what it was not told of before the connection
// ended, as far as it came. What follows is new. While more may come, it may be undecided.
//
// Of a long piece the end may be still to come: rest is what must follow then.
//
// Where they can be laid over each other in several ways, or have only contents that came
// more than once, it is doubtful: a machine may say the same several times. Only those
// count then of which the broker can't have been told.
func (l *ledger) overlay(again []content, more bool) (known int, rest []delivered, doubtful, undecided bool) {
	stored := l.recent[max(0, len(l.recent)-ledgerSize):]
	sure := 0
	for sure < len(stored) && stored[len(stored)-1-sure].unacknowledged {
		sure++
	}
	var fits, parts []int
	for n := max(sure, 1); n <= len(stored); n++ {
		if !startsLike(again, stored[len(stored)-n:]) {
			continue
		}
		if n > len(again) {
			parts = append(parts, n)
			continue
		}
		fits = append(fits, n)
	}
	switch {
	case len(parts) > 0 && more:
		return 0, nil, false, true
	case len(fits) == 0 && len(parts) == 1 && len(again) >= certainPart && hasUnique(stored, parts[0], len(again)):
		begun := stored[len(stored)-parts[0]:]
		return len(again), slices.Clone(begun[len(again):]), false, false
	case len(fits) == 0:
		return 0, nil, false, false
	case len(fits) == 1 && (fits[0] == sure || hasUnique(stored, fits[0], fits[0])):
		return fits[0], nil, false, false
	case fits[0] == sure:
		return sure, nil, true, false
	default:
		return 0, nil, true, false
	}
}

// hasUnique tells whether one of the first so many of the last n came once only.
func hasUnique(stored []delivered, n, first int) bool {
	times := make(map[content]int, len(stored))
	for i := range stored {
		times[stored[i].content]++
	}
	for _, d := range stored[len(stored)-n:][:first] {
		if times[d.content] == 1 {
			return true
		}
	}
	return false
}

// startsLike compares as far as both go.
func startsLike(again []content, stored []delivered) bool {
	for i := range min(len(again), len(stored)) {
		if again[i] != stored[i].content {
			return false
		}
	}
	return true
}
