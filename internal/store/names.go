package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"plantgate/internal/mes"
)

// Records name their work unit and their origin by a number. Names are looked up
// once and remembered; neither ever changes.

var (
	unitByNumber   = portable("SELECT site_id, id FROM equipment WHERE number = ?")
	numberOfUnit   = portable("SELECT number FROM equipment WHERE site_id = ? AND id = ?")
	originByNumber = portable("SELECT door, connection, address, format FROM origin WHERE number = ?")
)

// unitName is the site and id of a work unit.
type unitName struct{ siteID, machineID string }

// maxNames bounds the names that are remembered, of units and of origins.
const maxNames = 1 << 16

// remembered is a bounded two-way map between numbers and names.
type remembered[N comparable] struct {
	mu      sync.RWMutex
	names   map[int64]N
	numbers map[N]int64
}

func newRemembered[N comparable]() *remembered[N] {
	return &remembered[N]{names: map[int64]N{}, numbers: map[N]int64{}}
}

func (m *remembered[N]) byNumber(number int64) (N, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, ok := m.names[number]
	return n, ok
}

func (m *remembered[N]) byName(name N) (int64, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, ok := m.numbers[name]
	return n, ok
}

func (m *remembered[N]) put(number int64, name N) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.names) >= maxNames {
		clear(m.names)
		clear(m.numbers)
	}
	m.names[number], m.numbers[name] = name, number
}

func (m *remembered[N]) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.names)
	clear(m.numbers)
}

// units are the numbers of work units.
type units struct {
	*remembered[unitName]
	store *Store
}

func (u units) name(ctx context.Context, number int64) (unitName, error) {
	if name, ok := u.byNumber(number); ok {
		return name, nil
	}
	var row struct {
		SiteID string `db:"site_id"`
		ID     string `db:"id"`
	}
	err := u.store.lookUpRow(ctx, &row, unitByNumber, number)
	if err != nil {
		return unitName{}, err
	}
	name := unitName{row.SiteID, row.ID}
	u.put(number, name)
	return name, nil
}

// unitNumber returns the number of a work unit, and whether it has records.
func (s *Store) unitNumber(ctx context.Context, siteID, machineID string) (int64, bool, error) {
	name := unitName{siteID, machineID}
	if number, ok := s.units.byName(name); ok {
		return number, true, nil
	}
	var number sql.NullInt64
	err := s.lookUpRow(ctx, &number, numberOfUnit, siteID, machineID)
	switch {
	case errors.Is(err, sql.ErrNoRows) || err == nil && !number.Valid:
		return 0, false, nil
	case err != nil:
		return 0, false, s.db.readFault(err, "look up a work unit")
	}
	s.units.put(number.Int64, name)
	return number.Int64, true, nil
}

// origins are the numbers of origins.
type origins struct {
	*remembered[mes.Origin]
	store *Store
}

type originRow struct {
	Door       mes.Door `db:"door"`
	Connection string   `db:"connection"`
	Address    string   `db:"address"`
	Format     string   `db:"format"`
}

func (o origins) origin(ctx context.Context, number int64) (mes.Origin, error) {
	if origin, ok := o.byNumber(number); ok {
		return origin, nil
	}
	var row originRow
	err := o.store.lookUpRow(ctx, &row, originByNumber, number)
	if err != nil {
		return mes.Origin{}, err
	}
	origin := mes.Origin{Door: row.Door, Connection: row.Connection, Address: row.Address, Format: row.Format}
	o.put(number, origin)
	return origin, nil
}
