package store

import (
	"context"
	"time"

	"plantgate/internal/lease"
	"plantgate/internal/mes"
)

type leaseRow struct {
	Name      string    `db:"name"`
	Owner     string    `db:"owner"`
	Epoch     int64     `db:"epoch"`
	ExpiresAt timestamp `db:"expires_at"`
	Expired   bool      `db:"expired"`
}

// nowSQLite is the time in microseconds, in milliseconds' resolution.
const nowSQLite = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"

// Durations are in milliseconds. The clock is that of the database: those of the
// servers may differ.
var (
	leasesBetween = statement{
		sqlite: `SELECT name, owner, epoch, expires_at, expires_at < ` + nowSQLite + ` AS expired
			FROM lease WHERE name >= ? AND name < ? ORDER BY name`,
		sqlserver: `SELECT name, owner, epoch, expires_at,
				CAST(CASE WHEN expires_at < SYSUTCDATETIME() THEN 1 ELSE 0 END AS BIT) AS expired
			FROM lease WHERE name >= @p1 AND name < @p2 ORDER BY name`,
	}
	makeLease = statement{
		sqlite: `INSERT INTO lease (name, owner, epoch, began_at, expires_at)
			SELECT ?1, '', 0, ` + nowSQLite + ", " + nowSQLite + `
			WHERE NOT EXISTS (SELECT 1 FROM lease WHERE name = ?1)`,
		sqlserver: `INSERT INTO lease (name, owner, epoch, began_at, expires_at)
			SELECT @p1, N'', 0, SYSUTCDATETIME(), SYSUTCDATETIME()
			WHERE NOT EXISTS (SELECT 1 FROM lease WHERE name = @p1)`,
	}
	claimLease = statement{
		sqlite: `UPDATE lease SET owner = ?2, epoch = epoch + 1, began_at = ` + nowSQLite + `, expires_at = ` + nowSQLite + ` + ?4 * 1000
			WHERE name = ?1 AND epoch = ?3 AND (owner = '' OR expires_at < ` + nowSQLite + ")",
		sqlserver: `UPDATE lease SET owner = @p2, epoch = epoch + 1, began_at = SYSUTCDATETIME(),
				expires_at = DATEADD(MILLISECOND, @p4, SYSUTCDATETIME())
			WHERE name = @p1 AND epoch = @p3 AND (owner = N'' OR expires_at < SYSUTCDATETIME())`,
	}
	resumeLease = statement{
		sqlite: `UPDATE lease SET epoch = epoch + 1, began_at = ` + nowSQLite + `, expires_at = ` + nowSQLite + ` + ?4 * 1000
			WHERE name = ?1 AND owner = ?2 AND epoch = ?3`,
		sqlserver: `UPDATE lease SET epoch = epoch + 1, began_at = SYSUTCDATETIME(),
				expires_at = DATEADD(MILLISECOND, @p4, SYSUTCDATETIME())
			WHERE name = @p1 AND owner = @p2 AND epoch = @p3`,
	}
	renewLease = statement{
		sqlite: `UPDATE lease SET expires_at = ` + nowSQLite + ` + ?4 * 1000
			WHERE name = ?1 AND owner = ?2 AND epoch = ?3`,
		sqlserver: `UPDATE lease SET expires_at = DATEADD(MILLISECOND, @p4, SYSUTCDATETIME())
			WHERE name = @p1 AND owner = @p2 AND epoch = @p3`,
	}
	releaseLease = portable("UPDATE lease SET owner = '' WHERE name = ? AND owner = ? AND epoch = ?")
	// proveLease changes nothing, and holds the row until the end of the transaction: a
	// SELECT would not.
	proveLease = portable("UPDATE lease SET epoch = epoch WHERE name = ? AND owner = ? AND epoch = ?")
)

var (
	noteEpoch = portable(`INSERT INTO lease_epoch (name, epoch, owner, began_at)
		SELECT name, epoch, owner, began_at FROM lease WHERE name = ?`)
	epochBegan   = portable("SELECT began_at FROM lease_epoch WHERE name = ? AND epoch = ?")
	forgetEpochs = portable("DELETE FROM lease_epoch WHERE began_at < ?")
)

// epochsKept is how long it is known who had a lease: longer than any server is apart
// from the database and comes back.
const epochsKept = 180 * 24 * time.Hour

// overtaken tells when a right was lost that a server had; zero if it has it still.
func (t *Tx) overtaken(ctx context.Context, o mes.Ownership) (time.Time, error) {
	var began timestamp
	_, err := t.get(ctx, &began, epochBegan, o.Lease, o.Epoch+1)
	return began.Time, t.store.db.readFault(err, "read who has a lease")
}

// Leases implements lease.Store.
func (s *Store) Leases(ctx context.Context, prefix string) ([]lease.Lease, error) {
	var rows []leaseRow
	err := s.readers.SelectContext(ctx, &rows, s.db.text(leasesBetween), s.db.bind([]any{prefix, prefix + "\U0010ffff"})...)
	if err != nil {
		return nil, s.db.readFault(err, "read leases")
	}
	list := make([]lease.Lease, len(rows))
	for i, r := range rows {
		list[i] = lease.Lease{Name: r.Name, Owner: r.Owner, Epoch: r.Epoch, ExpiresAt: r.ExpiresAt.Time, Expired: r.Expired}
	}
	return list, nil
}

// ClaimLease implements lease.Store.
func (s *Store) ClaimLease(ctx context.Context, name, owner string, epoch int64, keep time.Duration) (lease.Lease, bool, error) {
	var taken bool
	err := s.update(ctx, manner{brief: true}, func(t *Tx) error {
		if epoch == 0 {
			if err := t.exec(ctx, makeLease, name); err != nil {
				return s.db.writeFault(err, "make a lease")
			}
		}
		n, err := t.execCount(ctx, claimLease, name, owner, epoch, keep.Milliseconds())
		if taken = n == 1; taken {
			err = t.exec(ctx, noteEpoch, name)
		}
		return s.db.writeFault(err, "claim a lease")
	})
	return lease.Lease{Name: name, Owner: owner, Epoch: epoch + 1}, taken && err == nil, err
}

// ResumeLease implements lease.Store.
func (s *Store) ResumeLease(ctx context.Context, l lease.Lease, keep time.Duration) (lease.Lease, bool, error) {
	var still bool
	err := s.update(ctx, manner{brief: true}, func(t *Tx) error {
		n, err := t.execCount(ctx, resumeLease, l.Name, l.Owner, l.Epoch, keep.Milliseconds())
		if still = n == 1; still {
			err = t.exec(ctx, noteEpoch, l.Name)
		}
		return s.db.writeFault(err, "go on with a lease")
	})
	return lease.Lease{Name: l.Name, Owner: l.Owner, Epoch: l.Epoch + 1}, still && err == nil, err
}

// RenewLease implements lease.Store.
func (s *Store) RenewLease(ctx context.Context, l lease.Lease, keep time.Duration) (held bool, err error) {
	err = s.update(ctx, manner{brief: true}, func(t *Tx) error {
		n, err := t.execCount(ctx, renewLease, l.Name, l.Owner, l.Epoch, keep.Milliseconds())
		held = n == 1
		return s.db.writeFault(err, "renew a lease")
	})
	return held && err == nil, err
}

// ReleaseLease implements lease.Store.
func (s *Store) ReleaseLease(ctx context.Context, l lease.Lease) error {
	return s.update(ctx, manner{brief: true}, func(t *Tx) error {
		return s.db.writeFault(t.exec(ctx, releaseLease, l.Name, l.Owner, l.Epoch), "release a lease")
	})
}

// prove fails with mes.ErrLeaseLost unless every right is its server's until the end of the
// transaction.
func (t *Tx) prove(ctx context.Context, owners ...mes.Ownership) error {
	if atOnce, ok := t.session.(interface{ prove([]mes.Ownership) error }); ok {
		return t.store.db.writeFault(atOnce.prove(owners), "prove leases")
	}
	for _, o := range owners {
		n, err := t.execCount(ctx, proveLease, o.Lease, o.Server, o.Epoch)
		if err != nil {
			return t.store.db.writeFault(err, "prove a lease")
		}
		if n != 1 {
			return mes.Wrap(mes.CodeUnavailable, mes.ErrLeaseLost, "another server has taken over")
		}
	}
	return nil
}
