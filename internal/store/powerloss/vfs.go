// Package powerloss is a file layer for SQLite that knows what a power cut would
// leave on the disk. Only tests use it.
//
// A killed process proves nothing about durability, because the operating
// system keeps what was written. This layer keeps, beside the real files, what
// each file held at its last sync and what was written since. A Snapshot is the
// files as they could be after a power cut at that moment: without the writes
// that were not synced, or with any part of them, in any order, torn at sectors.
package powerloss

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// VFS is a registered file layer. Its name goes into store.Options.
type VFS struct {
	Name string

	tls    *libc.TLS
	object uintptr // the sqlite3_vfs that SQLite knows
	base   uintptr // the system's own, which does the work
	tables map[uintptr]uintptr

	mu         sync.Mutex // held while a file changes
	files      map[string]*file
	ignoreSync bool
	syncError  int32
	writeError int32
	countdown  int
	atZero     func(Still)
}

// Register makes a file layer that SQLite knows by the given name, which must
// be free in the process.
func Register(name string) (*VFS, error) {
	v := &VFS{Name: name, tls: libc.NewTLS(), files: map[string]*file{}, tables: map[uintptr]uintptr{}}
	if err := v.register(); err != nil {
		v.tls.Close()
		return nil, err
	}
	return v, nil
}

// Close takes the file layer away again. Every database on it must be closed.
func (v *VFS) Close() error {
	registering.Lock()
	rc := sqlite3.Xsqlite3_vfs_unregister(v.tls, v.object)
	registering.Unlock()
	if rc != sqlite3.SQLITE_OK {
		return fmt.Errorf("powerloss: unregister: result %d", rc)
	}
	v.forget()
	v.tls.Close()
	return nil
}

// IgnoreSync makes every later sync do nothing but say that it did: the fault
// that the tests must be able to find.
func (v *VFS) IgnoreSync() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ignoreSync = true
}

// FailSync makes every later sync fail with the result code; 0 ends it.
func (v *VFS) FailSync(code int32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.syncError = code
}

// FailWrites makes every later write fail with the result code; 0 ends it.
func (v *VFS) FailWrites(code int32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writeError = code
}

// Still is the file layer while nothing can change.
type Still struct{ v *VFS }

// AtOperation calls fn once, right before the n-th write, truncation, deletion
// or sync from now on.
func (v *VFS) AtOperation(n int, fn func(Still)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.countdown, v.atZero = n, fn
}

// Snapshot writes the files as they would be after a power cut at this moment
// into the folder dst. With a nil random everything that was not synced is lost;
// else any part of it.
func (v *VFS) Snapshot(dst string, random *rand.Rand) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return Still{v}.Snapshot(dst, random)
}

// operation begins a change: the caller holds the lock.
func (v *VFS) operation() {
	if v.atZero == nil {
		return
	}
	if v.countdown--; v.countdown <= 0 {
		fn := v.atZero
		v.atZero = nil
		fn(Still{v})
	}
}
