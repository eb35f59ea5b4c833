package journal

import (
	"time"

	"plantgate/internal/mes"
)

// DeliveryKind says under what name something was delivered.
type DeliveryKind string

// The kinds of deliveries.
const (
	// DeliveryMessage is a message id of a machine.
	DeliveryMessage DeliveryKind = "message"
	// DeliveryKey is an idempotency key of a caller; site and machine are empty.
	DeliveryKey DeliveryKind = "key"
)

// DeliveryName is the name under which a sender delivered something.
type DeliveryName struct {
	Kind              DeliveryKind
	SiteID, MachineID string
	Key               string
}

// Delivery is an entry of the delivery ledger: what first arrived under a name.
type Delivery struct {
	DeliveryName
	// Hash is of the content under a message id, of the request's body under a key.
	Hash     [32]byte
	RecordID mes.ID
	// Status is created or duplicate, as the first sender was told.
	Status    mes.ReceiptStatus
	ArrivedAt time.Time
}

// Group is what one commit made durable, or several in their order.
type Group struct {
	// FirstArrival is the number of the first record in the order of arrival; the
	// others follow without a gap.
	FirstArrival int64
	Records      []mes.Record
	Deliveries   []Delivery
	// ConnectionDeliveries are of what came by connections without an identity of its own.
	ConnectionDeliveries []mes.Delivery
	// Items came for quarantine, Resolved are items that were replayed or discarded.
	Items, Resolved []mes.QuarantineItem
}

func (g *Group) reset() {
	clear(g.Records)
	g.Records = g.Records[:0]
	g.Deliveries, g.ConnectionDeliveries, g.Items, g.Resolved = nil, nil, nil, nil
}

// skip leaves out the records up to an arrival number.
func (g *Group) skip(arrivals int64) {
	if n := arrivals - g.FirstArrival + 1; n > 0 && len(g.Records) > 0 {
		n = min(n, int64(len(g.Records)))
		g.Records, g.FirstArrival = g.Records[n:], g.FirstArrival+n
	}
}
