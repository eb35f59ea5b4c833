package certs

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// checkEvery bounds how often the files are looked at.
const checkEvery = 10 * time.Second

// files serves a certificate that somebody else renews.
type files struct {
	certFile, keyFile string
	now               func() time.Time
	log               *slog.Logger

	mu        sync.Mutex
	current   *tls.Certificate
	seen      [2]fileState
	checkedAt time.Time
}

// fileState tells whether a file changed.
type fileState struct {
	modified time.Time
	size     int64
}

func openFiles(certFile, keyFile string, now func() time.Time, log *slog.Logger) (*files, error) {
	f := &files{certFile: certFile, keyFile: keyFile, now: now, log: log}
	seen, err := f.look()
	if err != nil {
		return nil, fmt.Errorf("server.tls: %w", err)
	}
	if err := f.load(seen); err != nil {
		return nil, fmt.Errorf("server.tls: %w", err)
	}
	f.checkedAt = now()
	return f, nil
}

// certificate serves tls.Config.GetCertificate. Files that can't be read, such
// as a certificate that was replaced before its key, leave the old pair in use.
func (f *files) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Sub(f.checkedAt) < checkEvery {
		return f.current, nil
	}
	f.checkedAt = now
	seen, err := f.look()
	switch {
	case err != nil:
		f.log.Warn("certificate files not readable, the old certificate goes on", "error", err)
	case seen != f.seen:
		if err := f.load(seen); err != nil {
			f.log.Warn("certificate not reloaded, the old one goes on", "error", err)
		} else {
			f.log.Info("certificate reloaded", "not_after", f.current.Leaf.NotAfter)
		}
	}
	return f.current, nil
}

func (f *files) look() (seen [2]fileState, err error) {
	for i, name := range []string{f.certFile, f.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return seen, err
		}
		seen[i] = fileState{info.ModTime(), info.Size()}
	}
	return seen, nil
}

func (f *files) load(seen [2]fileState) error {
	cert, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
	if err != nil {
		return err
	}
	f.current, f.seen = &cert, seen
	return nil
}
