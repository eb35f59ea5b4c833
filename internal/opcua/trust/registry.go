package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"plantgate/internal/mes"
)

// maxParked bounds the certificates that a connection keeps for a decision: whoever answers
// in the place of the server can show any number.
const maxParked = 20

// maxCertificate bounds one of them, in bytes.
const maxCertificate = 16 << 10

// Notes is where certificates are kept: in the database, so that all servers of one know
// what was decided. While it is away errors have mes.ErrStoreAway in their chain.
type Notes interface {
	ConnectionNotes(ctx context.Context, connection, prefix string) (map[string][]byte, error)
	PutConnectionNote(ctx context.Context, connection, name string, note []byte) error
}

const notePrefix = "opcua-certificate-"

// Registry keeps certificates that wait for a decision, and decisions.
type Registry struct {
	notes Notes
	now   func() time.Time
}

// NewRegistry returns a registry over notes.
func NewRegistry(n Notes, now func() time.Time) *Registry { return &Registry{notes: n, now: now} }

// List are the certificates of a connection, the newest first.
func (r *Registry) List(ctx context.Context, connection string) ([]mes.ServerCertificate, error) {
	notes, err := r.notes.ConnectionNotes(ctx, connection, notePrefix)
	if err != nil {
		return nil, err
	}
	var list []mes.ServerCertificate
	for name, note := range notes {
		var c mes.ServerCertificate
		if err := json.Unmarshal(note, &c); err != nil {
			return nil, fmt.Errorf("the note %s can't be read: %w", name, err)
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b mes.ServerCertificate) int {
		if c := b.FirstSeen.Compare(a.FirstSeen); c != 0 {
			return c
		}
		return strings.Compare(a.Thumbprint, b.Thumbprint)
	})
	return list, nil
}

// Decide notes what somebody decided of a certificate. One that the server has not shown is
// not found.
func (r *Registry) Decide(ctx context.Context, connection, thumbprint string, s mes.CertificateState, by string) (mes.ServerCertificate, error) {
	list, err := r.List(ctx, connection)
	if err != nil {
		return mes.ServerCertificate{}, err
	}
	i := slices.IndexFunc(list, func(c mes.ServerCertificate) bool { return strings.EqualFold(c.Thumbprint, thumbprint) })
	if i < 0 {
		return mes.ServerCertificate{}, mes.Errorf(mes.CodeNotFound, "the server of %s has shown no certificate with the SHA-256 thumbprint %s", connection, thumbprint)
	}
	c := list[i]
	c.State, c.DecidedAt, c.DecidedBy = s, mes.Micros(r.now()), by
	return c, r.put(ctx, connection, c)
}

// look tells what was decided of a certificate, and parks it if it is new.
func (r *Registry) look(ctx context.Context, connection string, der []byte, reason string) (mes.CertificateState, error) {
	list, err := r.List(ctx, connection)
	if err != nil {
		return "", err
	}
	thumbprint, parked := thumbprintOf(der), 0
	for _, c := range list {
		if c.Thumbprint == thumbprint {
			return c.State, nil
		}
		if c.State == mes.CertificateParked {
			parked++
		}
	}
	if parked >= maxParked || len(der) > maxCertificate {
		return "", nil
	}
	return mes.CertificateParked, r.put(ctx, connection, mes.ServerCertificate{
		Thumbprint: thumbprint, DER: der, State: mes.CertificateParked, Reason: reason, FirstSeen: mes.Micros(r.now()),
	})
}

func (r *Registry) put(ctx context.Context, connection string, c mes.ServerCertificate) error {
	note, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return r.notes.PutConnectionNote(ctx, connection, notePrefix+c.Thumbprint, note)
}

func thumbprintOf(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
