package config

import (
	"cmp"
	"time"
)

// What becomes of an interval in which nothing came of a node.
const (
	// HistoryAuto reads it from the server's history, where that has one.
	HistoryAuto = "auto"
	// HistoryOff only records that values may be lost.
	HistoryOff = "off"
)

const (
	defaultValuesPerNode = 500
	minValuesPerNode     = 10
	maxValuesPerNode     = 10_000
	defaultHistoryMaxAge = 24 * time.Hour
)

// OPCUAHistory says how what changed during an interruption is read afterwards.
type OPCUAHistory struct {
	// Mode is auto or off.
	Mode string `koanf:"mode"`
	// MaxAge is how far back history is read; what is older counts as lost.
	MaxAge time.Duration `koanf:"max_age"`
	// ValuesPerNode is how many values of a node one HistoryRead asks for (numValuesPerNode
	// of OPC 10000-11, 6.5.3).
	ValuesPerNode int `koanf:"values_per_node"`
}

// Reads tells whether the history of a node is read.
func (h OPCUAHistory) Reads(n OPCUANode) bool { return cmp.Or(n.History, h.Mode) != HistoryOff }

// NumValuesPerNode is ValuesPerNode, 500 unless configured.
func (h OPCUAHistory) NumValuesPerNode() int { return cmp.Or(h.ValuesPerNode, defaultValuesPerNode) }

// Lookback is MaxAge, 24 hours unless configured.
func (h OPCUAHistory) Lookback() time.Duration { return cmp.Or(h.MaxAge, defaultHistoryMaxAge) }

func (h OPCUAHistory) validate(f *faults) {
	checkHistoryMode(f, "history.mode", h.Mode)
	if h.MaxAge < 0 {
		f.add("history.max_age", "must not be negative")
	}
	if h.ValuesPerNode != 0 && (h.ValuesPerNode < minValuesPerNode || h.ValuesPerNode > maxValuesPerNode) {
		f.add("history.values_per_node", "must be %d to %d, not %d", minValuesPerNode, maxValuesPerNode, h.ValuesPerNode)
	}
}

func checkHistoryMode(f *faults, key, mode string) {
	if mode != "" && mode != HistoryAuto && mode != HistoryOff {
		f.add(key, "must be %s or %s, not %q", HistoryAuto, HistoryOff, mode)
	}
}
