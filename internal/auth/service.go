package auth

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"plantgate/internal/mes"
)

// MaxNameLength is the length of a key's name in bytes.
const MaxNameLength = 100

// minBootstrapLength is that of old scripts' keys.
const minBootstrapLength = 16

// Options are the settings of a Service.
type Options struct {
	// BootstrapKey is a key with every scope that is never stored; "" is none.
	BootstrapKey string
	// Clock is time.Now unless a test sets it.
	Clock func() time.Time
}

// Service makes, checks and withdraws API keys.
type Service struct {
	store     Store
	now       func() time.Time
	bootstrap *bootstrap
	cache     *cache
}

// New returns a service over the store. A bootstrap key shorter than 16
// characters is refused.
func New(store Store, opts Options) (*Service, error) {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	s := &Service{store: store, now: opts.Clock, cache: newCache()}
	if opts.BootstrapKey != "" {
		if len(opts.BootstrapKey) < minBootstrapLength || len(opts.BootstrapKey) > maxKeyLength {
			return nil, fmt.Errorf("auth.bootstrap_key: must have %d to %d characters", minBootstrapLength, maxKeyLength)
		}
		s.bootstrap = newBootstrap(opts.BootstrapKey)
	}
	return s, nil
}

// NewKey is what a caller chooses of a key.
type NewKey struct {
	Name   string
	Scopes []mes.KeyScope
	// Limit bounds the sites and machines; empty lists mean everything.
	Limit mes.Scope
	// ExpiresAt is the end of its validity; zero is never.
	ExpiresAt time.Time
}

// Create makes a key and returns it with its text, which is not shown again. It
// fails with CodeInvalid, naming every fault.
func (s *Service) Create(ctx context.Context, n NewKey) (key mes.APIKey, text string, err error) {
	if fault := s.check(n); fault != nil {
		return mes.APIKey{}, "", fault
	}
	key, text = s.make(n)
	if err := s.store.CreateAPIKey(ctx, key); err != nil {
		return mes.APIKey{}, "", err
	}
	return key, text, nil
}

// List returns every key, oldest first, the withdrawn ones included.
func (s *Service) List(ctx context.Context) ([]mes.APIKey, error) { return s.store.APIKeys(ctx) }

// Revoke withdraws a key. Servers that have just seen it accept it for at most
// two more seconds.
func (s *Service) Revoke(ctx context.Context, id mes.ID) error {
	if err := s.store.RevokeAPIKey(ctx, id, mes.Micros(s.now())); err != nil {
		return err
	}
	s.cache.clear()
	return nil
}

// Rotate makes a key with the name, scopes, limits and end of an existing one,
// which stays valid for the overlap, so that callers can change over. It fails
// with CodeConflict if the old key is no longer valid.
func (s *Service) Rotate(ctx context.Context, id mes.ID, overlap time.Duration) (key mes.APIKey, text string, err error) {
	if overlap < 0 {
		return mes.APIKey{}, "", mes.Errorf(mes.CodeInvalid, "the overlap must not be negative")
	}
	old, err := s.store.APIKey(ctx, id)
	if err != nil {
		return mes.APIKey{}, "", err
	}
	now := s.now()
	if !old.Valid(now) {
		return mes.APIKey{}, "", mes.Errorf(mes.CodeConflict, "the key is revoked or expired")
	}
	end := mes.Micros(now.Add(overlap))
	if !old.ExpiresAt.IsZero() && old.ExpiresAt.Before(end) {
		end = old.ExpiresAt
	}
	key, text = s.make(NewKey{Name: old.Name, Scopes: old.Scopes, Limit: old.Limit, ExpiresAt: old.ExpiresAt})
	if err := s.store.ReplaceAPIKey(ctx, old.ID, end, key); err != nil {
		return mes.APIKey{}, "", err
	}
	s.cache.clear()
	return key, text, nil
}

func (s *Service) make(n NewKey) (mes.APIKey, string) {
	text, prefix, hash := newKey()
	return mes.APIKey{
		ID: mes.NewID(), Name: n.Name, Prefix: prefix, Hash: hash, Scopes: n.Scopes, Limit: n.Limit,
		CreatedAt: mes.Micros(s.now()), ExpiresAt: mes.Micros(n.ExpiresAt),
	}, text
}

func (s *Service) check(n NewKey) error {
	var faults []mes.FieldError
	add := func(pointer, format string, args ...any) {
		faults = append(faults, mes.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
	if n.Name == "" || len(n.Name) > MaxNameLength || strings.ContainsFunc(n.Name, unicode.IsControl) {
		add("/name", "must have 1 to %d printable characters", MaxNameLength)
	}
	if len(n.Scopes) == 0 {
		add("/scopes", "must name at least one scope")
	}
	for i, scope := range n.Scopes {
		if !slices.Contains(mes.KeyScopes(), scope) {
			add(fmt.Sprintf("/scopes/%d", i), "is not a scope: %q", scope)
		}
	}
	for list, ids := range map[string][]string{"sites": n.Limit.Sites, "machines": n.Limit.Machines} {
		for i, id := range ids {
			if err := mes.CheckID(id); err != nil {
				add(fmt.Sprintf("/%s/%d", list, i), "%s", err.Error())
			}
		}
	}
	if len(n.Limit.Machines) > 0 && len(n.Limit.Sites) == 0 {
		add("/sites", "must name the sites of the machines: every plant may have an M001")
	}
	if !n.ExpiresAt.IsZero() && !n.ExpiresAt.After(s.now()) {
		add("/expires_at", "must be in the future")
	}
	if fault := mes.Invalid(faults); fault != nil {
		return fault
	}
	return nil
}

// newBootstrap keeps only the hash.
func newBootstrap(key string) *bootstrap {
	hash := sha256.Sum256([]byte(key))
	return &bootstrap{hash: hash, key: mes.APIKey{
		ID: bootstrapID, Name: "bootstrap", Prefix: "bootstrap", Hash: hash,
		Scopes: []mes.KeyScope{mes.ScopeAdmin},
	}}
}
