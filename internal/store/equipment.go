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

var (
	equipmentByID    = portable("SELECT " + equipmentColumns + " FROM equipment WHERE site_id = ? AND id = ?")
	equipmentOfLevel = portable("SELECT 1 FROM equipment WHERE site_id = ? AND id = ? AND level = ?")
	updateSite       = portable("UPDATE equipment SET level = ?, name = ?, time_zone = ? WHERE site_id = ? AND id = ?")
	insertSite       = portable(`INSERT INTO equipment (site_id, id, level, name, time_zone, auto_registered, created_at, doors)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
)

// Equipment returns a node of the hierarchy, or an error of CodeNotFound.
func (s *Store) Equipment(ctx context.Context, siteID, id string) (mes.Equipment, error) {
	if err := s.current(ctx); err != nil {
		return mes.Equipment{}, err
	}
	var rows []equipmentRow
	err := s.selectRows(ctx, &rows, equipmentByID, siteID, id)
	if err != nil {
		return mes.Equipment{}, s.db.readFault(err, "read equipment")
	}
	if len(rows) == 0 {
		return mes.Equipment{}, mes.Errorf(mes.CodeNotFound, "there is no equipment %q in site %q", id, siteID)
	}
	return rows[0].toDomain(), nil
}

// KnowsEquipment tells whether the work unit is registered.
func (s *Store) KnowsEquipment(ctx context.Context, siteID, id string) (bool, error) {
	var found []int
	err := s.lookUp(ctx, &found, equipmentOfLevel, siteID, id, string(mes.LevelWorkUnit))
	return len(found) > 0, s.db.readFault(err, "look up equipment")
}

// EquipmentList lists equipment by site and id.
func (s *Store) EquipmentList(ctx context.Context, f mes.EquipmentFilter) ([]mes.Equipment, error) {
	if err := s.current(ctx); err != nil {
		return nil, err
	}
	q := s.newQuery("SELECT " + equipmentColumns + " FROM equipment")
	q.equal("site_id", f.SiteID)
	q.equal("level", string(f.Level))
	q.scope(f.Scope, "id")
	if f.Door != "" {
		q.where("doors & ? <> 0", int64(doorBit(f.Door)))
	}
	if f.AfterSiteID != "" || f.AfterID != "" {
		q.beyond([]string{"site_id", "id"}, ">", f.AfterSiteID, f.AfterID)
	}
	q.order("site_id", "id")
	q.limit(f.Limit)
	var rows []equipmentRow
	if err := s.selectRows(ctx, &rows, q.statement(), q.args...); err != nil {
		return nil, s.db.readFault(err, "list equipment")
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
			if err := t.putSite(ctx, site); err != nil {
				return s.db.writeFault(err, "put a site")
			}
		}
		return nil
	})
}

func (t *Tx) putSite(ctx context.Context, site mes.Equipment) error {
	n, err := t.execCount(ctx, updateSite, string(mes.LevelSite), site.Name, site.TimeZone, site.SiteID, site.SiteID)
	if err != nil || n > 0 {
		return err
	}
	return t.exec(ctx, insertSite, site.SiteID, site.SiteID, string(mes.LevelSite), site.Name, site.TimeZone,
		false, timestamp{orNow(site.CreatedAt)}, int64(0))
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
		if err := t.register(ctx, s); err != nil {
			return t.store.db.writeFault(err, "register equipment")
		}
	}
	return t.store.db.writeFault(t.noteSightings(ctx, known), "note what equipment was heard of")
}

var registerUnit = statement{sqlite: `INSERT INTO equipment (` + equipmentColumns + `, number)
	VALUES (?, ?, ?, '', '', 1, ?, ?, ?, ?, (SELECT coalesce(max(number), 0) + 1 FROM equipment))
	ON CONFLICT (site_id, id) DO UPDATE SET
		created_at = CASE WHEN auto_registered = 1
			THEN min(created_at, excluded.created_at) ELSE created_at END,
		last_received_at = max(coalesce(last_received_at, excluded.last_received_at), excluded.last_received_at),
		last_time = max(coalesce(last_time, excluded.last_time), excluded.last_time),
		doors = doors | excluded.doors,
		number = coalesce(number, excluded.number)
	RETURNING number`}

func (t *Tx) register(ctx context.Context, s sighting) error {
	var number int64
	_, err := t.get(ctx, &number, registerUnit,
		s.siteID, s.machineID, string(mes.LevelWorkUnit), timestamp{s.firstReceived},
		timestamp{s.lastReceived}, timestamp{s.lastTime}, int64(s.doors))
	if err == nil {
		t.numbered(s.siteID, s.machineID, number)
	}
	return err
}

// numbered notes the number of a work unit, which the store remembers with the commit.
// The texts are parts of larger ones, which would stay in memory with them.
func (t *Tx) numbered(siteID, machineID string, number int64) {
	own := unitName{strings.Clone(siteID), strings.Clone(machineID)}
	t.units[own], t.registered[own] = number, number
}

var noteSighting = statement{
	sqlite: `UPDATE equipment SET
			created_at = CASE WHEN auto_registered = 1 THEN min(created_at, ?1) ELSE created_at END,
			last_received_at = max(coalesce(last_received_at, ?2), ?2),
			last_time = max(coalesce(last_time, ?3), ?3),
			doors = doors | ?4
		WHERE number = ?5`,
	sqlserver: `UPDATE e SET
			created_at = CASE WHEN e.auto_registered = 1 AND j.first_received < e.created_at THEN j.first_received ELSE e.created_at END,
			last_received_at = CASE WHEN e.last_received_at > j.last_received THEN e.last_received_at ELSE j.last_received END,
			last_time = CASE WHEN e.last_time > j.last_time THEN e.last_time ELSE j.last_time END,
			doors = e.doors | j.doors
		FROM equipment AS e
		JOIN ` + rowsOf("first_received DATETIME2(6)", "last_received DATETIME2(6)", "last_time DATETIME2(6)",
		"doors BIGINT", "number BIGINT") + ` ON j.number = e.number`,
}

func (t *Tx) noteSightings(ctx context.Context, list []sighting) error {
	row, at := named([]any{nil, nil, nil, nil, nil}), t.store.db.at
	return t.bulk(ctx, noteSighting, func(exec func([]driver.NamedValue) error) error {
		for _, s := range list {
			row[0].Value, row[1].Value = at(s.firstReceived), at(s.lastReceived)
			row[2].Value, row[3].Value, row[4].Value = at(s.lastTime), int64(s.doors), s.number
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
