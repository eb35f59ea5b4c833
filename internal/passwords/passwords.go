// Package passwords makes and checks hashes of passwords: Argon2id in the PHC string
// format, $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH (RFC 9106; the parameters are those
// that OWASP recommends), and bcrypt, $2b$12$…, as htpasswd -B makes it.
package passwords

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Cost of new hashes, and the most that a hash may ask for: who checks it pays.
const (
	argonMemory   = 19 * 1024 // KiB
	argonTime     = 2
	argonThreads  = 1
	saltSize      = 16
	hashSize      = 32
	bcryptCost    = 12
	maxMemory     = 256 * 1024 // KiB
	maxTime       = 16
	maxThreads    = 16
	maxSize       = 64
	maxBcryptCost = 15
)

// MaxLength is the longest password in bytes: MQTT has two bytes for its length
// (3.1.1, 3.1.3.5).
const MaxLength = 65535

// Hash is a hash that was read.
type Hash struct {
	bcrypt             []byte // the whole text, if it is one of bcrypt
	memory, time       uint32
	threads            uint8
	salt, hash         []byte
	alwaysWrong, isSet bool
}

// IsHash tells whether a text looks like a hash, right or wrong.
func IsHash(text string) bool {
	return strings.HasPrefix(text, "$argon2") || strings.HasPrefix(text, "$2a$") ||
		strings.HasPrefix(text, "$2b$") || strings.HasPrefix(text, "$2y$")
}

// Parse reads a hash. Errors never repeat it.
func Parse(text string) (Hash, error) {
	switch {
	case strings.HasPrefix(text, "$2") && IsHash(text):
		cost, err := bcrypt.Cost([]byte(text))
		if err != nil || len(text) != 60 {
			return Hash{}, fmt.Errorf("is no hash of bcrypt, which has 60 characters such as $2b$12$…")
		}
		if cost > maxBcryptCost {
			return Hash{}, fmt.Errorf("asks for a cost of %d, at most %d is taken", cost, maxBcryptCost)
		}
		return Hash{bcrypt: []byte(text), isSet: true}, nil
	case strings.HasPrefix(text, "$argon2id$"):
		return parseArgon(text)
	}
	return Hash{}, fmt.Errorf("must begin with $argon2id$ or $2b$: make it with plantgate passwords hash")
}

func parseArgon(text string) (Hash, error) {
	parts := strings.Split(text, "$") // "", argon2id, v=19, m=…,t=…,p=…, salt, hash
	if len(parts) != 6 || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return Hash{}, fmt.Errorf("must have the form $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH")
	}
	h := Hash{isSet: true}
	var values [3]uint64
	settings := strings.Split(parts[3], ",")
	if len(settings) != len(values) {
		return Hash{}, fmt.Errorf("must have the parameters m, t and p")
	}
	for i, limit := range []struct {
		name string
		most uint64
	}{{"m", maxMemory}, {"t", maxTime}, {"p", maxThreads}} {
		digits, ok := strings.CutPrefix(settings[i], limit.name+"=")
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || v < 1 || v > limit.most {
			return Hash{}, fmt.Errorf("the parameter %s must be from 1 to %d", limit.name, limit.most)
		}
		values[i] = v
	}
	h.memory, h.time, h.threads = uint32(values[0]), uint32(values[1]), uint8(values[2])
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.hash, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.salt) > maxSize || len(h.hash) < 16 || len(h.hash) > maxSize {
		return Hash{}, fmt.Errorf("salt and hash must be base64 without padding, of 8 to 64 and 16 to 64 bytes")
	}
	return h, nil
}

// Dummy returns a hash that no password fits and that costs as much to check as h: for
// users that are not known, so that the time tells nothing.
func (h Hash) Dummy() Hash {
	h.alwaysWrong = true
	return h
}

// Matches tells whether the password is the one that was hashed. It takes tens of
// milliseconds and, with Argon2id, the memory that the hash asks for.
func (h Hash) Matches(password []byte) bool {
	var same bool
	switch {
	case !h.isSet:
		return false
	case h.bcrypt != nil:
		// Longer passwords can't have been hashed; the time is the same.
		same = bcrypt.CompareHashAndPassword(h.bcrypt, password[:min(len(password), 72)]) == nil && len(password) <= 72
	default:
		got := argon2.IDKey(password, h.salt, h.time, h.memory, h.threads, uint32(len(h.hash)))
		same = subtle.ConstantTimeCompare(got, h.hash) == 1
	}
	return same && !h.alwaysWrong
}

// Argon2id hashes a password with a new salt.
func Argon2id(password []byte) (string, error) {
	if err := check(password, MaxLength); err != nil {
		return "", err
	}
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	hash := argon2.IDKey(password, salt, argonTime, argonMemory, argonThreads, hashSize)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		b64.EncodeToString(salt), b64.EncodeToString(hash)), nil
}

// Bcrypt hashes a password of at most 72 bytes.
func Bcrypt(password []byte) (string, error) {
	if err := check(password, 72); err != nil {
		return "", err
	}
	hash, err := bcrypt.GenerateFromPassword(password, bcryptCost)
	// The library writes $2a$; $2b$ means the same of passwords that it takes.
	return strings.Replace(string(hash), "$2a$", "$2b$", 1), err
}

func check(password []byte, most int) error {
	if len(password) == 0 || len(password) > most {
		return fmt.Errorf("a password has 1 to %d bytes, not %d", most, len(password))
	}
	return nil
}

// Equal tells whether two hashes are the same, of the same password and salt.
func (h Hash) Equal(o Hash) bool {
	return bytes.Equal(h.bcrypt, o.bcrypt) && bytes.Equal(h.salt, o.salt) && bytes.Equal(h.hash, o.hash) &&
		h.memory == o.memory && h.time == o.time && h.threads == o.threads
}
