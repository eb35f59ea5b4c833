package mes

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Identify sets the record's id from what it says, never from how it arrived,
// so that the same message has the same id in every process and retry.
//
// With a message id the id is that of (site, machine, message id). With a time
// of source or server it is that of the content at that time. Without either,
// equal readings are separate records: the time of receipt and the receiver
// (an id of this process) make it unique.
//
// docs/identity.md publishes the bytes that are hashed, and test vectors.
func (r *Record) Identify(receiver ID) {
	r.ID = r.identity(r.Time, receiver)
}

// AltID returns the id that the record would have at AltTime, and false if
// there is no other reading of its time.
func (r *Record) AltID() (ID, bool) {
	if r.AltTime.IsZero() || r.MessageID != "" {
		return ID{}, false
	}
	return r.identity(r.AltTime, ID{}), true
}

// ContentHash is a hash of everything the sender said, without the time where
// the sender gave none. Two messages with the same message id and different
// content hashes are in conflict.
func (r *Record) ContentHash() [32]byte {
	if r.TimeOrigin == TimeReceipt {
		return r.contentHash(time.Time{})
	}
	return r.contentHash(r.Time)
}

// HasContent tells whether sum is the content hash of the record, with the other
// reading of its time too if there is one.
func (r *Record) HasContent(sum [32]byte) bool {
	return sum == r.ContentHash() || !r.AltTime.IsZero() && sum == r.contentHash(r.AltTime)
}

func (r *Record) contentHash(t time.Time) [32]byte {
	h := make([]byte, 0, 256)
	h = appendText(h, "plantgate content 1")
	return sha256.Sum256(r.appendContent(h, t))
}

func (r *Record) identity(t time.Time, receiver ID) ID {
	h := make([]byte, 0, 256)
	switch {
	case r.MessageID != "":
		h = appendText(h, "plantgate message 1")
		h = appendText(h, r.SiteID)
		h = appendText(h, r.MachineID)
		h = appendText(h, r.MessageID)
	case r.TimeOrigin == TimeReceipt:
		h = appendText(h, "plantgate receipt 1")
		h = append(h, receiver[:]...)
		h = r.appendContent(h, t)
	default:
		h = appendText(h, "plantgate record 1")
		h = r.appendContent(h, t)
	}
	sum := sha256.Sum256(h)
	return hashedID(t, sum[:])
}

func (r *Record) appendContent(h []byte, t time.Time) []byte {
	h = appendText(h, r.SiteID)
	h = appendText(h, r.MachineID)
	micros := int64(0)
	if !t.IsZero() {
		micros = t.UnixMicro()
	}
	h = binary.BigEndian.AppendUint64(h, uint64(micros))
	h = appendText(h, string(r.DataType))
	h = binary.BigEndian.AppendUint32(h, uint32(r.StatusCode.OfValue()))
	h = appendText(h, string(r.Status))
	if r.Sequence == nil {
		h = append(h, 0)
	} else {
		h = append(h, 1)
		h = binary.BigEndian.AppendUint64(h, uint64(*r.Sequence))
	}
	h = binary.BigEndian.AppendUint32(h, uint32(len(r.Signals)))
	for _, s := range r.Signals {
		h = appendText(h, s.Name)
		h = append(h, byte(s.Value.kind))
		h = appendText(h, s.Value.text)
		h = appendText(h, s.Unit)
	}
	return h
}

// appendText appends the length in four bytes, then the text.
func appendText(h []byte, s string) []byte {
	h = binary.BigEndian.AppendUint32(h, uint32(len(s)))
	return append(h, s...)
}
