//go:build !linux

package wal

import "os"

func datasync(f *os.File) error { return f.Sync() }

func isAt(f *os.File, path string) (bool, error) { return isSame(f, path) }
