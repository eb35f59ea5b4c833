package powerloss

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite calls back with nothing but addresses, so that the Go side of a file
// layer and of an open file has to be found by address, in the process as a
// whole, as SQLite's own list of file layers is.
var registered = struct {
	sync.Mutex
	layers map[uintptr]*VFS
	open   map[uintptr]*handle
}{layers: map[uintptr]*VFS{}, open: map[uintptr]*handle{}}

// handle is a file that SQLite has open.
type handle struct {
	vfs     *VFS
	file    *file // nil for files without a name, which a power cut may take
	path    string
	methods *sqlite3.Tsqlite3_io_methods
}

// The calls of a file layer and of its files that are watched, as SQLite's C
// code declares them.
type (
	openFunc     = func(tls *libc.TLS, vfs, path, file uintptr, flags int32, outFlags uintptr) int32
	deleteFunc   = func(tls *libc.TLS, vfs, path uintptr, syncFolder int32) int32
	closeFunc    = func(tls *libc.TLS, file uintptr) int32
	writeFunc    = func(tls *libc.TLS, file, data uintptr, size int32, offset int64) int32
	truncateFunc = func(tls *libc.TLS, file uintptr, size int64) int32
	syncFunc     = func(tls *libc.TLS, file uintptr, flags int32) int32
)

// registering guards the list of file layers, which starts in the system's own:
// a copy is taken of it while others may register theirs.
var registering sync.Mutex

// register gives SQLite a copy of the system's file layer in which opening and
// deleting come here first. The copy keeps the system's private data, so that
// the system's functions work on it.
func (v *VFS) register() error {
	registering.Lock()
	defer registering.Unlock()
	v.base = sqlite3.Xsqlite3_vfs_find(v.tls, 0)
	if v.base == 0 {
		return fmt.Errorf("powerloss: SQLite has no file layer")
	}
	name, err := libc.CString(v.Name)
	if err != nil {
		return fmt.Errorf("powerloss: %w", err)
	}
	object := newObject[sqlite3.Tsqlite3_vfs](v.tls)
	*at[sqlite3.Tsqlite3_vfs](object) = *at[sqlite3.Tsqlite3_vfs](v.base)
	layer := at[sqlite3.Tsqlite3_vfs](object)
	layer.FpNext, layer.FzName = 0, name
	layer.FxOpen = address(openFunc(vfsOpen))
	layer.FxDelete = address(deleteFunc(vfsDelete))
	v.object = object
	registered.Lock()
	registered.layers[object] = v
	registered.Unlock()
	if rc := sqlite3.Xsqlite3_vfs_register(v.tls, object, 0); rc != sqlite3.SQLITE_OK {
		v.forget()
		return fmt.Errorf("powerloss: register: result %d", rc)
	}
	return nil
}

func (v *VFS) forget() {
	registered.Lock()
	delete(registered.layers, v.object)
	registered.Unlock()
	for _, table := range v.tables {
		libc.Xfree(v.tls, table)
	}
	libc.Xfree(v.tls, at[sqlite3.Tsqlite3_vfs](v.object).FzName)
	libc.Xfree(v.tls, v.object)
}

func layerAt(vfs uintptr) *VFS {
	registered.Lock()
	defer registered.Unlock()
	return registered.layers[vfs]
}

func handleAt(file uintptr) *handle {
	registered.Lock()
	defer registered.Unlock()
	return registered.open[file]
}

func vfsOpen(tls *libc.TLS, vfs, path, pFile uintptr, flags int32, outFlags uintptr) int32 {
	v := layerAt(vfs)
	v.mu.Lock()
	defer v.mu.Unlock()
	h := &handle{vfs: v}
	var name string
	var before []byte
	existed := false
	if path != 0 {
		name = libc.GoString(path)
		// Only a file that is not open yet may be read here: closing it would
		// release the locks that SQLite holds on it.
		if v.file(name) == nil {
			content, err := os.ReadFile(name)
			before, existed = content, err == nil
		}
	}
	rc := function[openFunc](at[sqlite3.Tsqlite3_vfs](v.base).FxOpen)(tls, vfs, path, pFile, flags, outFlags)
	methods := at[sqlite3.Tsqlite3_file](pFile).FpMethods
	if rc != sqlite3.SQLITE_OK || methods == 0 {
		return rc
	}
	if path != 0 {
		h.path, h.file = name, v.opened(name, before, existed)
	}
	h.methods = at[sqlite3.Tsqlite3_io_methods](methods)
	at[sqlite3.Tsqlite3_file](pFile).FpMethods = v.watched(tls, methods)
	registered.Lock()
	registered.open[pFile] = h
	registered.Unlock()
	return rc
}

// watched returns a copy of a table of methods in which changes come here first.
func (v *VFS) watched(tls *libc.TLS, methods uintptr) uintptr {
	if table, ok := v.tables[methods]; ok {
		return table
	}
	object := newObject[sqlite3.Tsqlite3_io_methods](tls)
	table := at[sqlite3.Tsqlite3_io_methods](object)
	*table = *at[sqlite3.Tsqlite3_io_methods](methods)
	table.FxClose = address(closeFunc(fileClose))
	table.FxWrite = address(writeFunc(fileWrite))
	table.FxTruncate = address(truncateFunc(fileTruncate))
	table.FxSync = address(syncFunc(fileSync))
	v.tables[methods] = object
	return object
}

func vfsDelete(tls *libc.TLS, vfs, path uintptr, syncFolder int32) int32 {
	v := layerAt(vfs)
	v.mu.Lock()
	defer v.mu.Unlock()
	name := libc.GoString(path)
	v.operation(name)
	rc := function[deleteFunc](at[sqlite3.Tsqlite3_vfs](v.base).FxDelete)(tls, vfs, path, 0)
	if rc != sqlite3.SQLITE_OK {
		return rc
	}
	v.removed(name)
	if syncFolder != 0 && !v.ignored.has(name) {
		v.folder(filepath.Dir(name)).sync()
	}
	return rc
}

func fileClose(tls *libc.TLS, pFile uintptr) int32 {
	h := handleAt(pFile)
	registered.Lock()
	delete(registered.open, pFile)
	registered.Unlock()
	return function[closeFunc](h.methods.FxClose)(tls, pFile)
}

func fileWrite(tls *libc.TLS, pFile, data uintptr, size int32, offset int64) int32 {
	h := handleAt(pFile)
	h.vfs.mu.Lock()
	defer h.vfs.mu.Unlock()
	h.vfs.operation(h.path)
	if h.vfs.writeError != 0 {
		return h.vfs.writeError
	}
	rc := function[writeFunc](h.methods.FxWrite)(tls, pFile, data, size, offset)
	if rc == sqlite3.SQLITE_OK && h.file != nil {
		// GoBytes lends SQLite's own memory.
		h.file.pending = append(h.file.pending, change{offset, bytes.Clone(libc.GoBytes(data, int(size)))})
	}
	return rc
}

func fileTruncate(tls *libc.TLS, pFile uintptr, size int64) int32 {
	h := handleAt(pFile)
	h.vfs.mu.Lock()
	defer h.vfs.mu.Unlock()
	h.vfs.operation(h.path)
	rc := function[truncateFunc](h.methods.FxTruncate)(tls, pFile, size)
	if rc == sqlite3.SQLITE_OK && h.file != nil {
		h.file.pending = append(h.file.pending, change{offset: size})
	}
	return rc
}

// fileSync makes the file durable here only: the real disk need not be.
func fileSync(_ *libc.TLS, pFile uintptr, _ int32) int32 {
	h := handleAt(pFile)
	h.vfs.mu.Lock()
	defer h.vfs.mu.Unlock()
	h.vfs.operation(h.path)
	switch {
	case h.vfs.syncError != 0:
		return h.vfs.syncError
	case h.file == nil || h.vfs.ignored.has(h.path):
		return sqlite3.SQLITE_OK
	}
	if !h.vfs.isEntered(h.path, h.file) {
		h.vfs.folder(filepath.Dir(h.path)).sync() // SQLite syncs the folder with the first sync of a new log
	}
	h.file.sync()
	return sqlite3.SQLITE_OK
}

// newObject returns the address of a zeroed T outside Go's memory.
func newObject[T any](tls *libc.TLS) uintptr {
	var t T
	return libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(t)))
}

// at returns the T at an address outside Go's memory.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// function returns the function that stands at an address, as translated C code
// keeps function pointers.
func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&struct{ uintptr }{p})) }

// address is the inverse of function, for functions declared at top level, whose
// values never move.
func address[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&struct{ f F }{f})) }
