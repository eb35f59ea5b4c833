package powerloss

import (
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// VFS is a registered file layer of SQLite over a disk. Its name goes into
// store.Options.
type VFS struct {
	*Disk
	Name string

	tls    *libc.TLS
	object uintptr // the sqlite3_vfs that SQLite knows
	base   uintptr // the system's own, which does the work
	tables map[uintptr]uintptr
}

// Register makes a file layer that SQLite knows by the given name, which must
// be free in the process. The databases must be below the root.
func (d *Disk) Register(name string) (*VFS, error) {
	v := &VFS{Disk: d, Name: name, tls: libc.NewTLS(), tables: map[uintptr]uintptr{}}
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

// opened notes that SQLite opened a file, and whether that made it.
func (v *VFS) opened(path string, before []byte, existed bool) *file {
	switch f := v.file(path); {
	case f != nil:
		return f
	case existed:
		return v.known(path, before)
	default:
		return v.created(path)
	}
}
