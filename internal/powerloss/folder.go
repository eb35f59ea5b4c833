package powerloss

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// folder is what is known of one folder: the names at its last sync, those of
// now, and what has been done between.
type folder struct {
	durable map[string]*file
	now     map[string]*file
	pending []naming
}

// naming gives a file a name or takes it away, or both at once.
type naming struct {
	file     *file
	old, new string // "": none
}

// folder returns the folder at the path; the caller holds the lock.
func (d *Disk) folder(path string) *folder {
	f, ok := d.folders[path]
	if !ok {
		f = &folder{durable: map[string]*file{}, now: map[string]*file{}}
		d.folders[path] = f
	}
	return f
}

// file returns the file at the path, nil if none is known.
func (d *Disk) file(path string) *file { return d.folder(filepath.Dir(path)).now[filepath.Base(path)] }

// known notes a file that was on the disk before this knew it.
func (d *Disk) known(path string, content []byte) *file {
	dir, name := d.folder(filepath.Dir(path)), filepath.Base(path)
	f := &file{path: path, durable: content}
	dir.now[name], dir.durable[name] = f, f
	return f
}

// created notes a file that is made.
func (d *Disk) created(path string) *file {
	f := &file{path: path}
	d.folder(filepath.Dir(path)).do(naming{file: f, new: filepath.Base(path)})
	return f
}

func (d *Disk) removed(path string) {
	if f := d.file(path); f != nil {
		d.folder(filepath.Dir(path)).do(naming{file: f, old: filepath.Base(path)})
	}
}

// renamed notes that a file has another name in the same folder.
func (d *Disk) renamed(from, to string) {
	if f := d.file(from); f != nil {
		f.path = to
		d.folder(filepath.Dir(from)).do(naming{f, filepath.Base(from), filepath.Base(to)})
	}
}

// isEntered tells whether the file's name is on the disk.
func (d *Disk) isEntered(path string, f *file) bool {
	return d.folder(filepath.Dir(path)).durable[filepath.Base(path)] == f
}

func (f *folder) do(n naming) {
	n.apply(f.now)
	f.pending = append(f.pending, n)
}

// sync makes the names durable.
func (f *folder) sync() { f.durable, f.pending = maps.Clone(f.now), nil }

func (n naming) apply(names map[string]*file) {
	if n.old != "" && names[n.old] == n.file {
		delete(names, n.old)
	}
	if n.new != "" {
		names[n.new] = n.file
	}
}

// afterCut returns the names that a power cut leaves.
func (f *folder) afterCut(random *rand.Rand) map[string]*file {
	names := maps.Clone(f.durable)
	if random == nil {
		return names
	}
	for _, n := range f.pending {
		if random.IntN(2) == 0 {
			n.apply(names)
		}
	}
	return names
}

// Snapshot is Disk.Snapshot at this moment.
func (s Still) Snapshot(dst string, random *rand.Rand) error {
	// The same seed makes the same choices.
	for _, path := range slices.Sorted(maps.Keys(s.d.folders)) {
		below, err := s.d.below(path)
		if err != nil {
			return err
		}
		into := filepath.Join(dst, below)
		if err := os.MkdirAll(into, 0o700); err != nil {
			return err
		}
		names := s.d.folders[path].afterCut(random)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if err := os.WriteFile(filepath.Join(into, name), names[name].afterCut(random), 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// below returns the path from the root on. SQLite resolves links, others don't.
func (d *Disk) below(path string) (string, error) {
	resolved, err := filepath.EvalSymlinks(d.root)
	if err != nil {
		return "", err
	}
	for _, root := range []string{d.root, resolved} {
		if below, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(below) {
			return below, nil
		}
	}
	return "", fmt.Errorf("powerloss: %s is not below %s", path, d.root)
}
