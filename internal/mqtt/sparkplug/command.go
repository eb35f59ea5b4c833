package sparkplug

import (
	"encoding/json"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// RebirthCommand is the payload of a command that asks an edge node for its births, and
// those of its devices (6.4.22).
func RebirthCommand(at time.Time) []byte {
	ms := uint64(at.UnixMilli())
	var m []byte
	m = protowire.AppendTag(m, 1, protowire.BytesType)
	m = protowire.AppendString(m, "Node Control/Rebirth")
	m = protowire.AppendTag(m, 3, protowire.VarintType)
	m = protowire.AppendVarint(m, ms)
	m = protowire.AppendTag(m, 4, protowire.VarintType)
	m = protowire.AppendVarint(m, uint64(Boolean))
	m = protowire.AppendTag(m, 14, protowire.VarintType)
	m = protowire.AppendVarint(m, 1)

	var p []byte
	p = protowire.AppendTag(p, 1, protowire.VarintType)
	p = protowire.AppendVarint(p, ms)
	p = protowire.AppendTag(p, 2, protowire.BytesType)
	return protowire.AppendBytes(p, m)
}

// state is what a host application says of itself (6.4.25).
type state struct {
	Online    bool  `json:"online"`
	Timestamp int64 `json:"timestamp"`
}

// State is the payload by which a host application says that it is there or not: retained
// and of QoS 1. The will of a session has the same time as its birth.
func State(online bool, at time.Time) []byte {
	b, _ := json.Marshal(state{online, at.UnixMilli()}) // two plain members
	return b
}

// IsOffline tells whether a state says that the host application is not there.
func IsOffline(payload []byte) bool {
	var s struct {
		Online *bool `json:"online"`
	}
	return json.Unmarshal(payload, &s) == nil && s.Online != nil && !*s.Online
}
