package auth

import (
	"context"
	"testing"

	"plantgate/internal/mes"
)

// oneKey is a store with one key.
type oneKey struct {
	Store
	key mes.APIKey
}

func (s oneKey) APIKeyByPrefix(context.Context, string) (mes.APIKey, error) { return s.key, nil }

func BenchmarkAuthenticate(b *testing.B) {
	text, prefix, hash := newKey()
	s, err := New(oneKey{key: mes.APIKey{ID: mes.NewID(), Prefix: prefix, Hash: hash}}, Options{BootstrapKey: "a key of sixteen or more"})
	if err != nil {
		b.Fatal(err)
	}
	for name, key := range map[string]string{"bootstrap": "a key of sixteen or more", "stored": text} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Authenticate(b.Context(), key); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
