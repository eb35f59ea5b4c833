package store

import (
	"context"
	"crypto/sha256"
	"strings"

	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// The arguments are door, connection, address and format. SQL Server can't index a
// text as long as an address, and takes their hash too.
var (
	insertOrigin = statement{
		sqlite: `INSERT INTO origin (door, connection, address, format) VALUES (?, ?, ?, ?)
			ON CONFLICT DO NOTHING`,
		sqlserver: `INSERT INTO origin (door, connection, address, format, hash)
			SELECT @p1, @p2, @p3, @p4, @p5
			WHERE NOT EXISTS (SELECT 1 FROM origin WHERE hash = @p5)`,
	}
	originByName = statement{
		sqlite:    "SELECT number FROM origin WHERE door = ? AND connection = ? AND address = ? AND format = ?",
		sqlserver: "SELECT number FROM origin WHERE door = @p1 AND connection = @p2 AND address = @p3 AND format = @p4 AND hash = @p5",
	}
)

// originHash is of the four names of an origin, each ended so that no two sets of
// them run into one.
func originHash(o mes.Origin) digest {
	return sha256.Sum256([]byte(strings.Join([]string{string(o.Door), o.Connection, o.Address, o.Format, ""}, "\x00")))
}

// originNumbers returns the number of each record's origin.
func (t *Tx) originNumbers(ctx context.Context, b *journal.Batch) ([]int64, error) {
	numbers := make([]int64, len(b.Records))
	for i := range b.Records {
		// Neighbours mostly come from the same place.
		if i > 0 && b.Records[i].Origin == b.Records[i-1].Origin {
			numbers[i] = numbers[i-1]
			continue
		}
		var err error
		if numbers[i], err = t.originNumber(ctx, b.Records[i].Origin); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// originNumber returns the number of an origin, and gives it one if it is new.
func (t *Tx) originNumber(ctx context.Context, o mes.Origin) (int64, error) {
	o.TimeZone = "" // records don't keep it
	if number, ok := t.store.origins.byName(o); ok {
		return number, nil
	}
	if number, ok := t.origins[o]; ok {
		return number, nil
	}
	// The texts are parts of larger ones, which would stay in memory with them.
	o = mes.Origin{
		Door: mes.Door(strings.Clone(string(o.Door))), Connection: strings.Clone(o.Connection),
		Address: strings.Clone(o.Address), Format: strings.Clone(o.Format),
	}
	args := []any{string(o.Door), o.Connection, o.Address, o.Format}
	if _, embedded := t.store.db.(*sqliteDB); !embedded {
		args = append(args, originHash(o))
	}
	if err := t.exec(ctx, insertOrigin, args...); err != nil {
		return 0, err
	}
	var number int64
	if _, err := t.get(ctx, &number, originByName, args...); err != nil {
		return 0, err
	}
	if t.origins == nil {
		t.origins = map[mes.Origin]int64{}
	}
	t.origins[o] = number
	return number, nil
}
