package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// RenewBefore is how long before its end a certificate is warned of, and a successor of the
// one that was made here is made: so long people have to let the servers trust it, while the
// old one is still in use.
const RenewBefore = 30 * 24 * time.Hour

// handOver is how long before its end a certificate gives way to its successor: the clocks
// of servers may be ahead.
const handOver = time.Hour

// names are the files of a certificate that is made here.
type names struct{ pair, public string }

// The certificate that was made first and its successor. Which is in use is told by their
// times alone and nothing is taken away, so that a clock that was wrong for a while spoils
// nothing.
func first() names  { return names{ownCertFile, PublicCertFile} }
func second() names { return names{"opcua-client-next.pem", "opcua-client-next.der"} }

// readMade returns the certificate that was made on first use, or its successor once it
// ends.
func readMade(folder string, now time.Time) (Own, error) {
	own, err := first().read(folder)
	if errors.Is(err, fs.ErrNotExist) {
		own, err = first().create(folder, now, nil)
	}
	if err != nil {
		return own, err
	}
	first().publish(folder, own)
	if own.lasts(now, RenewBefore) {
		return own, nil
	}
	next, err := second().read(folder)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !next.lasts(now, handOver) {
		next, err = second().create(folder, now, own.Leaf)
	}
	if err == nil {
		second().publish(folder, next)
	}
	switch {
	case err != nil && own.lasts(now, 0):
		own.NextFault = err
		return own, nil
	case err != nil:
		return own, Refuse("plantgate's own certificate (%s) is valid only until %s, and another can't be made: %v", own.File, day(own.Leaf.NotAfter), err)
	case own.lasts(now, handOver):
		own.Next = next.File
		return own, nil
	case next.lasts(now, RenewBefore):
		return next, nil
	}
	// The successor ends too, and gets one itself.
	if err := os.Rename(filepath.Join(folder, second().pair), filepath.Join(folder, first().pair)); err != nil {
		next.NextFault = err
		return next, nil
	}
	return readMade(folder, now)
}

// ReadMade reads the certificate that ReadOwn would use, without making any; there may be
// none yet (fs.ErrNotExist).
func ReadMade(folder string, now time.Time) (Own, error) {
	own, err := first().read(folder)
	if err != nil || own.lasts(now, RenewBefore) {
		return own, err
	}
	next, err := second().read(folder)
	switch {
	case err != nil || !next.lasts(now, handOver):
		return own, nil
	case own.lasts(now, handOver):
		own.Next = next.File
		return own, nil
	}
	return next, nil
}

// lasts tells whether the certificate is valid, and for so long.
func (o Own) lasts(now time.Time, d time.Duration) bool {
	return !now.Before(o.Leaf.NotBefore) && now.Add(d).Before(o.Leaf.NotAfter)
}

func (n names) read(folder string) (Own, error) {
	text, err := os.ReadFile(filepath.Join(folder, n.pair))
	if err != nil {
		return Own{}, fmt.Errorf("own certificate: %w", err)
	}
	own, err := parseCertificate(text, text, n.pair)
	if err != nil {
		return Own{}, err
	}
	own.File = n.public
	return own, nil
}

// publish puts the public certificate beside the pair. That fails nothing: it is a copy.
func (n names) publish(folder string, own Own) {
	file := filepath.Join(folder, n.public)
	if kept, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, own.Leaf.Raw) {
		_ = os.WriteFile(file, own.Leaf.Raw, 0o644)
	}
}

// create makes key and certificate. Of several that do so at once, one wins and the others
// read its files. One that is there and not valid gives way.
func (n names) create(folder string, now time.Time, earlier *x509.Certificate) (Own, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return Own{}, fmt.Errorf("own certificate: %w", err)
	}
	text, err := selfSigned(now, earlier)
	if err != nil {
		return Own{}, fmt.Errorf("own certificate: %w", err)
	}
	made, err := writeNew(folder, text)
	if err != nil {
		return Own{}, fmt.Errorf("own certificate: %w", err)
	}
	defer os.Remove(made)
	file := filepath.Join(folder, n.pair)
	err = os.Link(made, file)
	if errors.Is(err, fs.ErrExist) {
		if there, err := n.read(folder); err == nil && there.lasts(now, handOver) {
			return there, nil
		}
		err = os.Rename(made, file)
	}
	if err != nil {
		return Own{}, fmt.Errorf("own certificate: %w", err)
	}
	return n.read(folder)
}

// writeNew writes a file of a name of its own, that nobody else may read.
func writeNew(folder string, text []byte) (string, error) {
	f, err := os.CreateTemp(folder, ".opcua-client-*") // made with mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
