// Package auth makes, checks and withdraws API keys.
//
// A key is `pg_<prefix>_<secret>`: the prefix is public and finds the key, the
// secret has 160 random bits. Only the SHA-256 of the whole key is kept. A slow
// hash, as passwords need, would add nothing against guessing 160 bits and
// would cost every request.
package auth

import (
	"context"
	"time"

	"plantgate/internal/mes"
)

// Store keeps keys. Its errors are those of mes: CodeNotFound where there is no
// such key.
type Store interface {
	CreateAPIKey(ctx context.Context, key mes.APIKey) error
	// APIKeys lists every key, oldest first.
	APIKeys(ctx context.Context) ([]mes.APIKey, error)
	APIKey(ctx context.Context, id mes.ID) (mes.APIKey, error)
	APIKeyByPrefix(ctx context.Context, prefix string) (mes.APIKey, error)
	RevokeAPIKey(ctx context.Context, id mes.ID, at time.Time) error
	// ReplaceAPIKey stores the new key and ends the old one at oldExpires, both
	// or neither.
	ReplaceAPIKey(ctx context.Context, old mes.ID, oldExpires time.Time, key mes.APIKey) error
}
