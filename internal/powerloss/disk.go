// Package powerloss is a disk that knows what a power cut would leave on it. Only
// tests use it.
//
// A killed process proves nothing about durability, because the operating
// system keeps what was written. This disk keeps, beside the real files, what
// each file and folder held at its last sync and what was done since. A Snapshot
// is the files as they could be after a power cut at that moment: without what was
// not synced, or with any part of it, in any order, writes torn at sectors.
//
// One disk holds the files of SQLite (VFS) and those of Go code (Files), so that
// one power cut takes both at the same moment.
package powerloss

import (
	"math/rand/v2"
	"path/filepath"
	"sync"
)

// Disk is a simulated disk over a real folder.
type Disk struct {
	root string

	mu         sync.Mutex // held while a file changes
	folders    map[string]*folder
	ignored    Paths // whose syncs do nothing
	syncError  int32
	writeError int32
	watched    Paths
	countdown  int
	atZero     func(Still)
}

// Paths tells which files and folders are meant, by their path; nil means none.
type Paths func(path string) bool

// All are all paths.
func All(string) bool { return true }

func (p Paths) has(path string) bool { return p != nil && p(path) }

// New returns a disk whose files are in the folder root, as they are now.
func New(root string) *Disk {
	return &Disk{root: filepath.Clean(root), folders: map[string]*folder{}}
}

// IgnoreSync makes every later sync of the paths do nothing but say that it did:
// the fault that the tests must be able to find.
func (d *Disk) IgnoreSync(of Paths) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ignored = of
}

// FailSync makes every later sync fail with the result code of SQLite, which is
// EIO to Go code; 0 ends it.
func (d *Disk) FailSync(code int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncError = code
}

// FailWrites makes every later write fail with the result code of SQLite, which
// to Go code is ENOSPC for SQLITE_FULL and else EIO; 0 ends it.
func (d *Disk) FailWrites(code int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writeError = code
}

// Still is the disk while nothing can change.
type Still struct {
	d *Disk
	// Path is the file or folder that was about to change; "" if none was.
	Path string
}

// AtOperation calls fn once, right before the n-th write, truncation, creation,
// renaming, removal or sync of the paths from now on. What SQLite creates is not
// counted.
func (d *Disk) AtOperation(of Paths, n int, fn func(Still)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watched, d.countdown, d.atZero = of, n, fn
}

// AtOperation is Disk.AtOperation from this operation on, which is not counted.
func (s Still) AtOperation(of Paths, n int, fn func(Still)) {
	s.d.watched, s.d.countdown, s.d.atZero = of, n, fn
}

// Snapshot writes the files as they would be after a power cut at this moment
// into the folder dst, each where it is below the root. With a nil random
// everything that was not synced is lost; else any part of it.
func (d *Disk) Snapshot(dst string, random *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Still{d: d}.Snapshot(dst, random)
}

// operation begins a change of a file or folder: the caller holds the lock.
func (d *Disk) operation(path string) {
	if d.atZero == nil || !d.watched.has(path) {
		return
	}
	if d.countdown--; d.countdown <= 0 {
		fn := d.atZero
		d.atZero = nil
		fn(Still{d, path})
	}
}
