//go:build integration

package crashtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/store/storetest"
)

// sharedStore is the section store of a server of that name on a shared database.
func sharedStore(dsn, server string) string {
	return fmt.Sprintf("{dsn: %q, sqlserver: {server: %s, allow_insecure: true}}", dsn, server)
}

// command runs a command of the program on a shared database, as an operator does, and
// returns what it prints.
func command(t *testing.T, binary, dsn string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PLANTGATE_STORE_DSN="+dsn, "PLANTGATE_STORE_SQLSERVER_ALLOW_INSECURE=true")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("plantgate %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// openDatabase makes a database with a schema.
func openDatabase(t *testing.T, binary string) (dsn string) {
	t.Helper()
	dsn = storetest.SQLServer(t)
	command(t, binary, dsn, "migrate", "up")
	return dsn
}

// shared is what any client of SQL Server sees of the database.
type shared struct {
	// rows are those of MES_Data; arrivals are records from which something is still to
	// follow.
	records, rows, arrivals, quarantined int
}

func readShared(ctx context.Context, dsn string) (s shared, err error) {
	db, err := sql.Open("sqlserver", dsn)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM record), (SELECT COUNT(*) FROM MES_Data),
		(SELECT COUNT(*) FROM arrival), (SELECT COUNT(*) FROM quarantine)`).
		Scan(&s.records, &s.rows, &s.arrivals, &s.quarantined)
	return s, err
}

// verifyShared reads the database past the servers.
func verifyShared(ctx context.Context, dsn string, records int) error {
	got, err := readShared(ctx, dsn)
	if want := (shared{records: records, rows: records}); err == nil && got != want {
		err = fmt.Errorf("the server listed %d records; the database: %+v", records, got)
	}
	return err
}

// verifyAll compares what a server has with what was sent, and returns its records.
func (d *driver) verifyAll() []storedRecord {
	d.t.Helper()
	found, err := list[storedRecord](d, "/data", url.Values{"order": {"asc"}})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.ledger.compare(found).err(); err != nil {
		d.t.Error(err)
	}
	if err := d.verifyLatest(found); err != nil {
		d.t.Error(err)
	}
	return found
}

// coldStart is how long a database may take over what a server asks first: the sessions
// of the one before are gone with all that they had planned.
const coldStart = 10 * time.Second

// TestSQLServerKill kills a server at random moments that commits to SQL Server.
func TestSQLServerKill(t *testing.T) {
	storetest.NeedSQLServer(t)
	binary := build(t)
	kills := int(number(t, "PLANTGATE_TEST_KILLS", shortKills))
	for name, broker := range map[string]func(testing.TB) *brokertest.Broker{"mosquitto": brokertest.Mosquitto, "own": nil} {
		t.Run(name, func(t *testing.T) {
			dsn := openDatabase(t, binary)
			p := openPlantOn(t, binary, broker, sharedStore(dsn, "one"))
			p.coldStart = coldStart
			begun := time.Now()
			p.crash(kills, longestLife/2)
			found := p.verifyAll()
			if code, err := p.process.Stop(os.Interrupt); code != 0 || err != nil {
				t.Errorf("exit code %d, %v:\n%s", code, err, p.process.Stderr())
			}
			if err := verifyShared(t.Context(), dsn, len(found)); err != nil {
				t.Error(err)
			}
			for _, door := range []string{"rest", "mqtt"} {
				if acked := p.ledger.acked(door); acked < 5*kills {
					t.Errorf("only %d records were acknowledged by %s: the kills hit little", acked, door)
				}
			}
			t.Logf("%d kills, %d of them while the server started and %d right after an acknowledgement, in %s: "+
				"%d records sent, %d acknowledged by REST and %d by MQTT, %d stored; answers %v",
				kills, p.killedStarts, p.aimed, time.Since(begun).Round(time.Second),
				len(p.ledger.entries), p.ledger.acked("rest"), p.ledger.acked("mqtt"), len(found), p.ledger.answers)
		})
	}
}

// noSpoolReplay begins behind what was accepted while the database was away.
var noSpoolReplay = edit{
	"internal/app/shared_spool.go",
	"	start, err := journal.Start(log)\n",
	"	start, err := journal.Start(log)\n	start.Position = log.End()\n",
}

// TestSQLServerFaultsAreFound runs programs that lose what they acknowledged: before the
// commit, or in a log that they forget when they are killed in an outage.
func TestSQLServerFaultsAreFound(t *testing.T) {
	storetest.NeedSQLServer(t)
	for name, test := range map[string]struct {
		changes []edit
		send    func(t *testing.T, binary string) *plant
	}{
		"acknowledged before the commit": {[]edit{neverLast, ackFirst}, func(t *testing.T, binary string) *plant {
			p := openPlantOn(t, binary, nil, sharedStore(openDatabase(t, binary), "one"))
			p.coldStart, p.patience = coldStart, 2*time.Second
			p.crash(redKills, redLife)
			return p
		}},
		"the log of an outage forgotten": {[]edit{noSpoolReplay}, func(t *testing.T, binary string) *plant {
			o := openOutage(t, binary)
			o.run(shortOutage*time.Second, (*proxy).refuse)
			return o.plant
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := test.send(t, build(t, test.changes...))
			found, err := list[storedRecord](p.driver, "/data", url.Values{"order": {"asc"}})
			if err != nil {
				t.Fatal(err)
			}
			lost := p.ledger.compare(found).lost
			for _, door := range []string{"rest", "mqtt"} {
				if !slices.ContainsFunc(lost, func(s string) bool { return strings.HasSuffix(s, "by "+door) }) {
					t.Errorf("nothing was found by %s; in all: %s", door, some(lost))
				}
			}
			t.Logf("%d of %d records lost: %s", len(lost), len(p.ledger.entries), some(lost))
		})
	}
}
