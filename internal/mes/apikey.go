package mes

import (
	"slices"
	"time"
)

// KeyScope is a permission of an API key.
type KeyScope string

// The scopes. Admin includes every other.
const (
	ScopeDataRead       KeyScope = "data:read"
	ScopeDataWrite      KeyScope = "data:write"
	ScopeAdaptersRead   KeyScope = "adapters:read"
	ScopeFloorWrite     KeyScope = "floor:write"
	ScopeOPCUAWrite     KeyScope = "opcua:write"
	ScopeAlarmsWrite    KeyScope = "alarms:write"
	ScopeOrdersRead     KeyScope = "orders:read"
	ScopeOrdersWrite    KeyScope = "orders:write"
	ScopeQualityRead    KeyScope = "quality:read"
	ScopeQualityWrite   KeyScope = "quality:write"
	ScopeMaterialsRead  KeyScope = "materials:read"
	ScopeMaterialsWrite KeyScope = "materials:write"
	ScopeEquipmentRead  KeyScope = "equipment:read"
	ScopeEquipmentWrite KeyScope = "equipment:write"
	ScopeEventsRead     KeyScope = "events:read"
	ScopeWebhooksWrite  KeyScope = "webhooks:write"
	ScopeAdmin          KeyScope = "admin"
	ScopeMetricsRead    KeyScope = "metrics:read"
)

// KeyScopes lists every scope.
func KeyScopes() []KeyScope {
	return []KeyScope{
		ScopeDataRead, ScopeDataWrite, ScopeAdaptersRead, ScopeFloorWrite, ScopeOPCUAWrite, ScopeAlarmsWrite,
		ScopeOrdersRead, ScopeOrdersWrite, ScopeQualityRead, ScopeQualityWrite,
		ScopeMaterialsRead, ScopeMaterialsWrite, ScopeEquipmentRead, ScopeEquipmentWrite,
		ScopeEventsRead, ScopeWebhooksWrite, ScopeAdmin, ScopeMetricsRead,
	}
}

// APIKey is a caller's credential. The key itself is shown once, when it is
// made; only its hash is kept.
type APIKey struct {
	ID   ID
	Name string
	// Prefix is the key's public part, by which it is looked up and recognised.
	Prefix string
	// Hash is the SHA-256 of the whole key.
	Hash   [32]byte
	Scopes []KeyScope
	// Limit bounds the sites and machines that the key may see and write.
	Limit     Scope
	CreatedAt time.Time
	// ExpiresAt is when the key ends to be valid; zero is never.
	ExpiresAt time.Time
	// RevokedAt is when it was withdrawn; zero if it was not.
	RevokedAt time.Time
}

// Has tells whether the key grants the scope.
func (k *APIKey) Has(s KeyScope) bool {
	return slices.Contains(k.Scopes, s) || slices.Contains(k.Scopes, ScopeAdmin)
}

// Valid tells whether the key may be used at the time now.
func (k *APIKey) Valid(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}
