package main

import (
	"os"
	"runtime/debug"
)

// gcPercent keeps the heap small beside the database's caches, for a percent or two
// of processor time. GOGC in the environment has its way.
const gcPercent = 75

func boundHeap() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
