package store

import (
	"context"
	"time"

	"plantgate/internal/mes"
)

const apiKeyColumns = `id, name, prefix, hash, scopes, limit_sites, limit_machines,
	created_at, expires_at, revoked_at`

var (
	apiKeys        = portable("SELECT " + apiKeyColumns + " FROM api_key ORDER BY id")
	apiKeyByID     = portable("SELECT " + apiKeyColumns + " FROM api_key WHERE id = ?")
	apiKeyByPrefix = portable("SELECT " + apiKeyColumns + " FROM api_key WHERE prefix = ?")
	insertAPIKey   = portable("INSERT INTO api_key (" + apiKeyColumns + `)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
		WHERE NOT EXISTS (SELECT 1 FROM api_key WHERE id = ? OR prefix = ?)`)
	revokeAPIKey = portable("UPDATE api_key SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?")
	// expireAPIKey leaves a key that ends sooner by itself.
	expireAPIKey = portable("UPDATE api_key SET expires_at = ? WHERE id = ? AND (expires_at IS NULL OR expires_at > ?)")
)

type apiKeyRow struct {
	ID            uuid               `db:"id"`
	Name          string             `db:"name"`
	Prefix        string             `db:"prefix"`
	Hash          digest             `db:"hash"`
	Scopes        list[mes.KeyScope] `db:"scopes"`
	LimitSites    list[string]       `db:"limit_sites"`
	LimitMachines list[string]       `db:"limit_machines"`
	CreatedAt     timestamp          `db:"created_at"`
	ExpiresAt     timestamp          `db:"expires_at"`
	RevokedAt     timestamp          `db:"revoked_at"`
}

func (r *apiKeyRow) toDomain() mes.APIKey {
	return mes.APIKey{
		ID: mes.ID(r.ID), Name: r.Name, Prefix: r.Prefix, Hash: r.Hash, Scopes: r.Scopes,
		Limit:     mes.Scope{Sites: r.LimitSites, Machines: r.LimitMachines},
		CreatedAt: r.CreatedAt.Time, ExpiresAt: r.ExpiresAt.Time, RevokedAt: r.RevokedAt.Time,
	}
}

// APIKeys lists every key, oldest first, revoked ones too.
func (s *Store) APIKeys(ctx context.Context) ([]mes.APIKey, error) {
	var rows []apiKeyRow
	err := s.selectRows(ctx, &rows, apiKeys)
	if err != nil {
		return nil, s.db.readFault(err, "list API keys")
	}
	keys := make([]mes.APIKey, len(rows))
	for i := range rows {
		keys[i] = rows[i].toDomain()
	}
	return keys, nil
}

// APIKey returns the key, or an error of CodeNotFound.
func (s *Store) APIKey(ctx context.Context, id mes.ID) (mes.APIKey, error) {
	return s.apiKey(ctx, apiKeyByID, uuid(id))
}

// APIKeyByPrefix returns the key whose public part is prefix, whatever its
// state, or an error of CodeNotFound.
func (s *Store) APIKeyByPrefix(ctx context.Context, prefix string) (mes.APIKey, error) {
	return s.apiKey(ctx, apiKeyByPrefix, prefix)
}

func (s *Store) apiKey(ctx context.Context, query statement, arg any) (mes.APIKey, error) {
	var rows []apiKeyRow
	err := s.selectRows(ctx, &rows, query, arg)
	if err != nil {
		return mes.APIKey{}, s.db.readFault(err, "read an API key")
	}
	if len(rows) == 0 {
		return mes.APIKey{}, mes.Errorf(mes.CodeNotFound, "there is no such API key")
	}
	return rows[0].toDomain(), nil
}

// CreateAPIKey stores a new key. It returns an error of CodeConflict if its
// prefix is taken.
func (s *Store) CreateAPIKey(ctx context.Context, key mes.APIKey) error {
	return s.update(ctx, synced, func(t *Tx) error {
		return t.insertAPIKey(ctx, &key)
	})
}

// RevokeAPIKey withdraws the key at the time given. Revoking a revoked key keeps
// its first time. It returns an error of CodeNotFound if there is no such key.
func (s *Store) RevokeAPIKey(ctx context.Context, id mes.ID, at time.Time) error {
	return s.update(ctx, synced, func(t *Tx) error {
		return t.revokeAPIKey(ctx, id, at)
	})
}

// ReplaceAPIKey stores the new key and makes the old one end at oldExpires, both
// or neither. A time ahead leaves callers a while to change over; an old key
// that ends sooner by itself keeps its end. It returns an error of CodeNotFound
// if there is no old key, of CodeConflict if it is revoked.
func (s *Store) ReplaceAPIKey(ctx context.Context, old mes.ID, oldExpires time.Time, key mes.APIKey) error {
	return s.update(ctx, synced, func(t *Tx) error {
		if err := t.expireAPIKey(ctx, old, oldExpires); err != nil {
			return err
		}
		return t.insertAPIKey(ctx, &key)
	})
}

func (t *Tx) insertAPIKey(ctx context.Context, k *mes.APIKey) error {
	n, err := t.execCount(ctx, insertAPIKey,
		uuid(k.ID), k.Name, k.Prefix, digest(k.Hash), list[mes.KeyScope](k.Scopes),
		list[string](k.Limit.Sites), list[string](k.Limit.Machines),
		timestamp{k.CreatedAt}, timestamp{k.ExpiresAt}, timestamp{k.RevokedAt}, uuid(k.ID), k.Prefix)
	if err != nil {
		return t.store.db.writeFault(err, "create an API key")
	}
	if n == 0 {
		return mes.Errorf(mes.CodeConflict, "an API key with this id or prefix exists")
	}
	return nil
}

func (t *Tx) revokeAPIKey(ctx context.Context, id mes.ID, at time.Time) error {
	n, err := t.execCount(ctx, revokeAPIKey, timestamp{at}, uuid(id))
	if err != nil {
		return t.store.db.writeFault(err, "revoke an API key")
	}
	if n == 0 {
		return mes.Errorf(mes.CodeNotFound, "there is no such API key")
	}
	return nil
}

func (t *Tx) expireAPIKey(ctx context.Context, id mes.ID, at time.Time) error {
	var row apiKeyRow
	found, err := t.get(ctx, &row, apiKeyByID, uuid(id))
	switch {
	case err != nil:
		return t.store.db.writeFault(err, "read an API key")
	case !found:
		return mes.Errorf(mes.CodeNotFound, "there is no such API key")
	case !row.RevokedAt.IsZero():
		return mes.Errorf(mes.CodeConflict, "the API key is revoked")
	}
	err = t.exec(ctx, expireAPIKey, timestamp{at}, uuid(id), timestamp{at})
	if err != nil {
		return t.store.db.writeFault(err, "end an API key")
	}
	return nil
}
