package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// Bytes of randomness: a prefix has 8 characters, a secret 32.
const (
	prefixBytes = 5
	secretBytes = 20
)

const keyStart = "pg_"

// maxKeyLength bounds what is hashed for a caller who is not known yet.
const maxKeyLength = 512

// alphabet is base32 in lower case (RFC 4648, 6), which survives shells, URLs
// and dictation.
var alphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newKey returns a key, its public prefix and its hash.
func newKey() (key, prefix string, hash [32]byte) {
	prefix = alphabet.EncodeToString(randomBytes(prefixBytes))
	key = keyStart + prefix + "_" + alphabet.EncodeToString(randomBytes(secretBytes))
	return key, prefix, sha256.Sum256([]byte(key))
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the process instead (crypto/rand)
	return b
}

// prefixOf returns the public part of a well-formed key.
func prefixOf(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, keyStart)
	if !ok {
		return "", false
	}
	prefix, secret, ok := strings.Cut(rest, "_")
	if !ok || len(prefix) != alphabet.EncodedLen(prefixBytes) || len(secret) != alphabet.EncodedLen(secretBytes) {
		return "", false
	}
	return prefix, true
}
