// Package web holds the files of the live page.
package web

import (
	"embed"
	"io/fs"
	"path"
	"slices"
)

// Files are the page and what it loads, and this file.
//
//go:embed *
var Files embed.FS

// Names lists the files that a browser may ask for, by path.
func Names() ([]string, error) {
	var names []string
	served := []string{".html", ".css", ".js", ".svg", ".png", ".ico", ".woff2"}
	err := fs.WalkDir(Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && slices.Contains(served, path.Ext(name)) {
			names = append(names, name)
		}
		return err
	})
	return names, err
}
