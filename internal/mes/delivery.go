package mes

import (
	"cmp"
	"crypto/sha256"
	"slices"
)

// Delivery says of a message without an identity of its own that it came by a
// connection, so that it is known again when the same message comes once more. There is
// one of each name, that with the highest number.
type Delivery struct {
	// Connection is the configured name, of one of several sessions with its client.
	Connection string
	// Name is the connection's own: of the place in its order, or of a topic.
	Name string
	// Number counts the deliveries of the connection.
	Number int64
	// Content is of what came, see ContentOf.
	Content [16]byte
}

// MaxDeliveryName is the longest name of a delivery, in bytes.
const MaxDeliveryName = 80

// The beginnings of the names of deliveries that there is no end of: of topics that have a
// retained message, and of births of Sparkplug B, each with a hash behind it. Of each
// connection so many are kept, those with the highest numbers.
const (
	DeliveryRetained = "retained "
	DeliveryBirth    = "birth "

	MaxRetainedDeliveries = 100_000
	MaxBirthDeliveries    = 120_000
)

// NewestDeliveries are of each name the one with the highest number, in the order of
// numbers.
func NewestDeliveries(list []Delivery) []Delivery {
	newest := make(map[string]Delivery, len(list))
	for _, d := range list {
		if before, known := newest[d.Name]; !known || d.Number > before.Number {
			newest[d.Name] = d
		}
	}
	kept := make([]Delivery, 0, len(newest))
	for _, d := range newest {
		kept = append(kept, d)
	}
	slices.SortFunc(kept, func(a, b Delivery) int { return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Name, b.Name)) })
	return kept
}

// ContentOf is the first half of the SHA-256 of the texts, each with its length before
// it.
func ContentOf(texts ...[]byte) (sum [16]byte) {
	h := sha256.New()
	for _, t := range texts {
		n := uint64(len(t))
		h.Write([]byte{byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		h.Write(t)
	}
	copy(sum[:], h.Sum(nil))
	return sum
}
