//go:build !linux

package doctor

// Space tells of the file system of a folder; here nothing is known of it.
func Space(string) (kind string, free uint64, doubtful bool, err error) { return "", 0, false, nil }

// ClockSynchronised tells whether the clock is kept by a time server; here that can't be told.
func ClockSynchronised() (synchronised, known bool) { return false, false }
