package mes

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/google/uuid"
)

// ID is a UUID. Ids of records are of version 8 (RFC 9562, 5.8): the leading 48
// bits are the record's time in milliseconds since 1970, the rest is a hash, so
// that ids sort by time and the same message has the same id everywhere. Ids of
// other things (quarantined items, API keys) are of version 7.
type ID [16]byte

// NewID returns a new time-ordered UUID of version 7.
func NewID() ID { return ID(uuid.Must(uuid.NewV7())) }

// ParseID reads the usual text form of a UUID.
func ParseID(s string) (ID, error) {
	if len(s) != 36 {
		return ID{}, Errorf(CodeInvalid, "an id is a UUID such as 019aab1c-7d20-8c11-9e02-3f5a6b7c8d9e")
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return ID{}, Errorf(CodeInvalid, "an id is a UUID such as 019aab1c-7d20-8c11-9e02-3f5a6b7c8d9e")
	}
	return ID(u), nil
}

// String returns the usual text form in lower case.
func (id ID) String() string {
	var b [36]byte
	return string(id.Append(b[:0]))
}

// Append appends the usual text form.
func (id ID) Append(to []byte) []byte {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return append(to, b[:]...)
}

// IsZero tells whether the id was never set.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText makes ids appear as strings in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *ID) UnmarshalText(b []byte) error {
	parsed, err := ParseID(string(b))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// DerivedID returns an id of version 8 that is the same for the same time and name: of a
// thing that may come again and is to be kept once. A zero time counts as 1970.
func DerivedID(t time.Time, name string) ID {
	if t.IsZero() {
		t = time.UnixMilli(0)
	}
	sum := sha256.Sum256([]byte(name))
	return hashedID(t, sum[:])
}

// hashedID builds a version 8 UUID from a time and the leading bytes of a hash:
// 48 bits milliseconds, 4 bits version, 12 bits hash, 2 bits variant, 62 bits
// hash.
func hashedID(t time.Time, hash []byte) ID {
	var id ID
	ms := uint64(t.UnixMilli())
	binary.BigEndian.PutUint16(id[0:2], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:6], uint32(ms))
	copy(id[6:16], hash[:10])
	id[6] = 0x80 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return id
}
