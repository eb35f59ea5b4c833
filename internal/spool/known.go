package spool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"plantgate/internal/durable"
	"plantgate/internal/journal"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
)

// Known is what a server needs to know and the database said before: API keys (their
// hashes), equipment, the leases that it has. It stands in a file beside the log, so that a server that is
// started while the database is away serves.
type Known struct {
	path string

	mu     sync.Mutex
	dirty  bool
	keys   map[string]mes.APIKey  // by prefix
	units  map[[2]string]bool     // by site and id
	leases map[string]knownLeases // by group
	// drained is how far the log is known to be in the database.
	drained journal.Applied
	hurry   chan struct{} // has a token when the file is to be written at once
}

// knownFile is the content of the file.
type knownFile struct {
	Keys  []mes.APIKey `json:"keys"`
	Units [][2]string  `json:"units"`

	Leases map[string]knownLeases `json:"leases"`

	Drained journal.Applied `json:"drained"`
}

// knownLeases are the leases of a group, sorted by name, and whether the database was
// away when they were kept.
type knownLeases struct {
	List []lease.Lease `json:"list"`
	Away bool          `json:"away"`
}

// OpenKnown reads the file; one that is not there yet is empty. One that can't be
// understood is put aside: all of it is known anew while the database is there.
func OpenKnown(path string, log *slog.Logger) (*Known, error) {
	k := &Known{
		path: path, keys: map[string]mes.APIKey{}, units: map[[2]string]bool{}, leases: map[string]knownLeases{},
		hurry: make(chan struct{}, 1),
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was known: %w", err)
	}
	var f knownFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return k, putAside(path, err, log)
	}
	for _, key := range f.Keys {
		k.keys[key.Prefix] = key
	}
	for _, u := range f.Units {
		k.units[u] = true
	}
	maps.Copy(k.leases, f.Leases)
	k.drained = f.Drained
	return k, nil
}

// putAside renames a damaged file, for somebody to look at.
func putAside(path string, damage error, log *slog.Logger) error {
	aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000Z")
	if err := durable.Rename(path, aside); err != nil {
		return fmt.Errorf("put a damaged file aside: %w", err)
	}
	log.Warn("what was known without the database is damaged and put aside: until the database is there no API key "+
		"and no equipment is known, leases are taken anew, and what the log still holds is brought to the database once more",
		slog.String("file", aside), slog.Any("error", damage))
	return nil
}

func (k *Known) equipment(siteID, id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.units[[2]string{siteID, id}]
}

func (k *Known) addEquipment(siteID, id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if u := [2]string{siteID, id}; !k.units[u] {
		k.units[u], k.dirty = true, true
	}
}

// Drained is how far the log is known to be in the database: what was brought there
// should not come again long after, when it may have been deleted there.
func (k *Known) Drained() journal.Applied {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.drained
}

// SetDrained notes how far the log is in the database.
func (k *Known) SetDrained(to journal.Applied) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.drained != to {
		k.drained, k.dirty = to, true
	}
}

// Leases implements lease.Memory.
func (k *Known) Leases(group string) (list []lease.Lease, away bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.leases[group].List, k.leases[group].Away
}

// KeepLeases implements lease.Memory. Who has a lease changes rarely, and the file is
// written when it does.
func (k *Known) KeepLeases(group string, list []lease.Lease, away bool) {
	list = slices.Clone(list)
	for i := range list {
		list[i].ExpiresAt, list[i].Expired = time.Time{}, false // of no meaning later
	}
	slices.SortFunc(list, func(a, b lease.Lease) int { return strings.Compare(a.Name, b.Name) })
	k.mu.Lock()
	defer k.mu.Unlock()
	if before := k.leases[group]; slices.Equal(before.List, list) && before.Away == away {
		return
	}
	k.leases[group], k.dirty = knownLeases{list, away}, true
	select {
	case k.hurry <- struct{}{}:
	default:
	}
}

// Run writes the file when something changed, until ctx ends.
func (k *Known) Run(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(betweenWrites)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-k.hurry:
		case <-ctx.Done():
		}
		if err := k.Write(); err != nil {
			log.Warn("what intake needs to know without the database can't be kept", slog.Any("error", err))
		}
	}
}

// betweenWrites is how much of what became known may be lost with the process.
const betweenWrites = 5 * time.Second

// Write writes the file if something changed.
func (k *Known) Write() error {
	k.mu.Lock()
	if !k.dirty {
		k.mu.Unlock()
		return nil
	}
	f := knownFile{Keys: slices.Collect(maps.Values(k.keys)), Units: slices.Collect(maps.Keys(k.units)), Leases: maps.Clone(k.leases), Drained: k.drained}
	k.dirty = false
	k.mu.Unlock()
	raw, err := json.Marshal(f)
	if err == nil {
		err = durable.ReplaceFile(k.path, raw, 0o600)
	}
	if err != nil {
		k.mu.Lock()
		k.dirty = true
		k.mu.Unlock()
	}
	return err
}

func (k *Known) key(prefix string) (mes.APIKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.keys[prefix]
	return key, ok
}

func (k *Known) setKey(key mes.APIKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if before, ok := k.keys[key.Prefix]; !ok || !equalKeys(before, key) {
		k.keys[key.Prefix], k.dirty = key, true
	}
}

func (k *Known) dropKey(prefix string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.keys, prefix)
	k.dirty = true
}

func equalKeys(a, b mes.APIKey) bool {
	return a.ID == b.ID && a.Hash == b.Hash && a.ExpiresAt.Equal(b.ExpiresAt) && a.RevokedAt.Equal(b.RevokedAt) &&
		slices.Equal(a.Scopes, b.Scopes) && slices.Equal(a.Limit.Sites, b.Limit.Sites) && slices.Equal(a.Limit.Machines, b.Limit.Machines)
}
