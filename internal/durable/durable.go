// Package durable makes folders and files that are there after a loss of power. It knows
// nothing of the project.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// CreateFolder makes a folder and those above it, for their owner only. All are durable
// when it returns.
func CreateFolder(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return createFolder(path)
}

func createFolder(path string) error {
	info, err := os.Stat(path)
	if err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a folder", path)
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := createFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncFolder(parent)
}

// SyncFolder makes durable which names a folder holds.
func SyncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	// Some systems can't sync a folder.
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrInvalid) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// Rename renames a file within its folder, durably.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(to))
}

// ReplaceFile writes a file as a whole: after a loss of power there is the old or the new
// content, never a part; once it has returned, the new one.
func ReplaceFile(path string, content []byte, mode fs.FileMode) error {
	folder, name := filepath.Split(path)
	f, err := os.CreateTemp(filepath.Clean(folder), "."+name+"-*") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
