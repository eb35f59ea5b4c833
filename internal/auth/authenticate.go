package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"sync"
	"time"

	"plantgate/internal/mes"
)

// bootstrapID stands for the bootstrap key wherever a key's id is kept.
var bootstrapID = mes.ID{6: 0x70, 8: 0x80, 15: 1}

type bootstrap struct {
	hash [32]byte
	key  mes.APIKey
}

// cacheLife is how long another process's revocation may go unseen.
const cacheLife = 2 * time.Second

// cacheSize bounds the keys, and apart from them the refusals, that are
// remembered, so that a flood of wrong keys can't push out right ones.
const cacheSize = 4096

// Authenticate returns the key whose text is given. It fails with
// CodeUnauthenticated, in the same words whatever is wrong with the key, or
// with the store's error.
func (s *Service) Authenticate(ctx context.Context, text string) (mes.APIKey, error) {
	if text == "" || len(text) > maxKeyLength {
		return mes.APIKey{}, errRefused()
	}
	hash := hashOf(text)
	if s.bootstrap != nil && sameHash(s.bootstrap.hash, hash) {
		return s.bootstrap.key, nil
	}
	prefix, ok := prefixOf(text)
	if !ok {
		return mes.APIKey{}, errRefused()
	}
	now := s.now()
	key, known := s.cache.get(hash, now)
	if !known {
		var err error
		if key, err = s.lookUp(ctx, prefix, hash); err != nil {
			return mes.APIKey{}, err
		}
		s.cache.put(hash, key, now)
	}
	if key == nil || !key.Valid(now) {
		return mes.APIKey{}, errRefused()
	}
	return *key, nil
}

// lookUp returns nil where no key has this text.
func (s *Service) lookUp(ctx context.Context, prefix string, hash [32]byte) (*mes.APIKey, error) {
	key, err := s.store.APIKeyByPrefix(ctx, prefix)
	switch {
	case mes.ErrorCode(err) == mes.CodeNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	case !sameHash(key.Hash, hash):
		return nil, nil
	}
	return &key, nil
}

// hashOf is the SHA-256 of a key, which has at most maxKeyLength bytes.
func hashOf(key string) [32]byte {
	var b [maxKeyLength]byte
	return sha256.Sum256(b[:copy(b[:], key)])
}

func sameHash(a, b [32]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

func errRefused() *mes.Error {
	return mes.Errorf(mes.CodeUnauthenticated, "the API key is missing, unknown, expired or revoked")
}

// cache remembers answers of the store for a short time. It is keyed by the
// hash, so that no key's text stays in memory.
type cache struct {
	mu      sync.RWMutex
	found   map[[32]byte]cached
	refused map[[32]byte]cached
}

type cached struct {
	key   *mes.APIKey
	until time.Time
}

func newCache() *cache {
	return &cache{found: make(map[[32]byte]cached), refused: make(map[[32]byte]cached)}
}

// get returns the key, or nil for a refusal, and whether anything is known.
func (c *cache) get(hash [32]byte, now time.Time) (*mes.APIKey, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.found[hash]
	if !ok || !now.Before(e.until) {
		e, ok = c.refused[hash]
	}
	if !ok || !now.Before(e.until) {
		return nil, false
	}
	return e.key, true
}

func (c *cache) put(hash [32]byte, key *mes.APIKey, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.found
	if key == nil {
		m = c.refused
	}
	if len(m) >= cacheSize {
		maps.DeleteFunc(m, func(_ [32]byte, e cached) bool { return !now.Before(e.until) })
	}
	if len(m) >= cacheSize {
		clear(m)
	}
	m[hash] = cached{key, now.Add(cacheLife)}
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.found)
	clear(c.refused)
}
