package store

import (
	"context"
	"database/sql/driver"
	"strings"
	"time"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

const equipmentColumns = `site_id, id, level, name, time_zone, auto_registered,
	created_at, last_received_at, last_time, doors`

type equipmentRow struct {
	SiteID         string    `db:"site_id"`
	ID             string    `db:"id"`
	Level          mes.Level `db:"level"`
	Name           string    `db:"name"`
	TimeZone       string    `db:"time_zone"`
	AutoRegistered bool      `db:"auto_registered"`
	CreatedAt      timestamp `db:"created_at"`
	LastReceivedAt timestamp `db:"last_received_at"`
	LastTime       timestamp `db:"last_time"`
	Doors          doors     `db:"doors"`
}

func (r *equipmentRow) toDomain() mes.Equipment {
	return mes.Equipment{
		SiteID: r.SiteID, ID: r.ID, Level: r.Level, Name: r.Name, TimeZone: r.TimeZone,
		AutoRegistered: r.AutoRegistered, CreatedAt: r.CreatedAt.Time,
		LastReceivedAt: r.LastReceivedAt.Time, LastTime: r.LastTime.Time,
		Doors: r.Doors.toDomain(),
	}
}

// Equipment returns a node of the hierarchy, or an error of CodeNotFound.
func (s *Store) Equipment(ctx context.Context, siteID, id string) (mes.Equipment, error) {
	if err := s.current(ctx); err != nil {
		return mes.Equipment{}, err
	}
	var rows []equipmentRow
	err := s.readers.SelectContext(ctx, &rows,
		"SELECT "+equipmentColumns+" FROM equipment WHERE site_id = ? AND id = ?", siteID, id)
	if err != nil {
		return mes.Equipment{}, readError(err, "read equipment")
	}
	if len(rows) == 0 {
		return mes.Equipment{}, mes.Errorf(mes.CodeNotFound, "there is no equipment %q in site %q", id, siteID)
	}
	return rows[0].toDomain(), nil
}

// KnowsEquipment tells whether the work unit is registered.
func (s *Store) KnowsEquipment(ctx context.Context, siteID, id string) (bool, error) {
	var found []int
	err := s.lookUp(ctx, &found, "SELECT 1 FROM equipment WHERE site_id = ? AND id = ? AND level = ?",
		siteID, id, string(mes.LevelWorkUnit))
	return len(found) > 0, readError(err, "look up equipment")
}

// EquipmentList lists equipment by site and id.
func (s *Store) EquipmentList(ctx context.Context, f mes.EquipmentFilter) ([]mes.Equipment, error) {
	if err := s.current(ctx); err != nil {
		return nil, err
	}
	q := newQuery("SELECT " + equipmentColumns + " FROM equipment")
	q.equal("site_id", f.SiteID)
	q.equal("level", string(f.Level))
	q.scope(f.Scope, "id")
	if f.Door != "" {
		q.where("doors & ? <> 0", int64(doorBit(f.Door)))
	}
	if f.AfterSiteID != "" || f.AfterID != "" {
		q.where("(site_id, id) > (?, ?)", f.AfterSiteID, f.AfterID)
	}
	q.order("site_id", "id")
	q.limit(f.Limit)
	var rows []equipmentRow
	if err := s.readers.SelectContext(ctx, &rows, q.text(), q.args...); err != nil {
		return nil, readError(err, "list equipment")
	}
	items := make([]mes.Equipment, len(rows))
	for i := range rows {
		items[i] = rows[i].toDomain()
	}
	return items, nil
}

// PutSites creates or updates the configured sites: their name and zone. Sites
// that are no longer configured stay, since their data do.
func (s *Store) PutSites(ctx context.Context, sites []mes.Equipment) error {
	return s.update(ctx, synced, func(t *Tx) error {
		for _, site := range sites {
			err := t.writer.exec(ctx, `INSERT INTO equipment
					(site_id, id, level, name, time_zone, auto_registered, created_at)
				VALUES (?, ?, ?, ?, ?, 0, ?)
				ON CONFLICT (site_id, id) DO UPDATE SET
					level = excluded.level, name = excluded.name, time_zone = excluded.time_zone`,
				site.SiteID, site.SiteID, string(mes.LevelSite), site.Name, site.TimeZone,
				timestamp{createdAt(site.CreatedAt)})
			if err != nil {
				return s.writeError(err, "put a site")
			}
		}
		return nil
	})
}

// createdAt is the time that the caller gives, else now.
func createdAt(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now()
	}
	return t
}

// RegisterEquipment is the step that registers work units that are new, gives each
// its number, and notes when and how those that are known were heard of.
func RegisterEquipment(ctx context.Context, t *Tx, b *journal.Batch) error {
	t.units, t.registered = make(map[unitName]int64, len(b.Units())), map[unitName]int64{}
	var known []sighting
	for _, u := range b.Units() {
		name, s := unitName{u.SiteID, u.MachineID}, sightingOf(b, u)
		if number, ok := t.store.units.byName(name); ok {
			t.units[name], s.number = number, number
			known = append(known, s)
			continue
		}
		number, err := t.registerUnit(ctx, s)
		if err != nil {
			return t.store.writeError(err, "register equipment")
		}
		own := unitName{strings.Clone(u.SiteID), strings.Clone(u.MachineID)}
		t.units[own], t.registered[own] = number, number
	}
	return t.store.writeError(t.noteSightings(ctx, known), "note what equipment was heard of")
}

const registerUnit = `INSERT INTO equipment (` + equipmentColumns + `, number)
	VALUES (?, ?, ?, '', '', 1, ?, ?, ?, ?, (SELECT coalesce(max(number), 0) + 1 FROM equipment))
	ON CONFLICT (site_id, id) DO UPDATE SET
		created_at = CASE WHEN auto_registered = 1
			THEN min(created_at, excluded.created_at) ELSE created_at END,
		last_received_at = max(coalesce(last_received_at, excluded.last_received_at), excluded.last_received_at),
		last_time = max(coalesce(last_time, excluded.last_time), excluded.last_time),
		doors = doors | excluded.doors,
		number = coalesce(number, excluded.number)
	RETURNING number`

func (t *Tx) registerUnit(ctx context.Context, s sighting) (number int64, err error) {
	_, err = t.writer.get(ctx, &number, registerUnit,
		s.siteID, s.machineID, string(mes.LevelWorkUnit), timestamp{s.firstReceived},
		timestamp{s.lastReceived}, timestamp{s.lastTime}, int64(s.doors))
	return number, err
}

const noteSighting = `UPDATE equipment SET
		created_at = CASE WHEN auto_registered = 1 THEN min(created_at, ?1) ELSE created_at END,
		last_received_at = max(coalesce(last_received_at, ?2), ?2),
		last_time = max(coalesce(last_time, ?3), ?3),
		doors = doors | ?4
	WHERE number = ?5`

func (t *Tx) noteSightings(ctx context.Context, list []sighting) error {
	row := named([]any{nil, nil, nil, nil, nil})
	return t.writer.bulk(ctx, noteSighting, func(exec func([]driver.NamedValue) error) error {
		for _, s := range list {
			row[0].Value, row[1].Value = s.firstReceived.UnixMicro(), s.lastReceived.UnixMicro()
			row[2].Value, row[3].Value, row[4].Value = s.lastTime.UnixMicro(), int64(s.doors), s.number
			if err := exec(row); err != nil {
				return err
			}
		}
		return nil
	})
}

// sighting is what the records of a batch say about one work unit.
type sighting struct {
	siteID, machineID string
	number            int64 // where the unit has one
	firstReceived     time.Time
	lastReceived      time.Time
	lastTime          time.Time
	doors             doors
}

func sightingOf(b *journal.Batch, u *journal.UnitRecords) sighting {
	first := &b.Records[u.Places[0]]
	s := sighting{siteID: u.SiteID, machineID: u.MachineID,
		firstReceived: first.ReceivedAt, lastReceived: first.ReceivedAt, lastTime: first.Time}
	for _, place := range u.Places {
		r := &b.Records[place]
		s.firstReceived = earlier(s.firstReceived, r.ReceivedAt)
		s.lastReceived = later(s.lastReceived, r.ReceivedAt)
		s.lastTime = later(s.lastTime, r.Time)
		s.doors |= doorBit(r.Origin.Door)
	}
	return s
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
