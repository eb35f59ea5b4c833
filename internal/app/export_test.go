package app

import (
	"plantgate/internal/apply"
	"plantgate/internal/store"
)

// Steps are everything that follows from records, for tests that cut the log by
// themselves.
func Steps(o StorageOptions) []apply.Step[*store.Tx] {
	o.setDefaults("")
	return steps(o)
}
