//go:build integration

package crashtest

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"plantgate/internal/mqtt/brokertest"
)

// redKills and redLife are enough to find each fault many times over.
const (
	redKills = 5
	redLife  = 600 * time.Millisecond
)

// TestFaultsAreFound runs programs that break their promises: one acknowledges
// 50 ms before it commits, one gives each arrival an id of its own. The test of
// the kills must find what they lose and double, through both doors.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change edit
		faults func(report) []string
	}{
		"acknowledged before the commit": {
			edit{
				"internal/ingest/writer.go",
				"	return tx.ApplyRecords(ctx, fresh(records, receipts))\n",
				`	if err := tx.ApplyRecords(ctx, fresh(records, receipts)); err != nil {
		return err
	}
	for _, j := range jobs {
		done := j.done
		j.done = make(chan struct{})
		close(done)
	}
	time.Sleep(50 * time.Millisecond)
	return nil
`,
			},
			func(r report) []string { return r.lost },
		},
		"a new id for each arrival": {
			edit{"internal/mes/identity.go", "	r.ID = r.identity(r.Time, receiver)\n", "	r.ID = NewID()\n"},
			func(r report) []string { return r.doubled },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPlant(t, build(t, test.change), brokertest.Mosquitto)
			// What was lost never comes, so that waiting for it only takes time.
			p.patience = 2 * time.Second
			p.crash(redKills, redLife)
			found, err := list[storedRecord](p.driver, "/data", url.Values{"order": {"asc"}})
			if err != nil {
				t.Fatal(err)
			}
			faults := test.faults(p.ledger.compare(found))
			for _, door := range []string{"rest", "mqtt"} {
				if !slices.ContainsFunc(faults, func(s string) bool { return strings.HasSuffix(s, "by "+door) }) {
					t.Errorf("nothing was found by %s; in all: %s", door, some(faults))
				}
			}
			t.Logf("%d faults in %d records found after %d kills: %s", len(faults), len(p.ledger.entries), redKills, some(faults))
		})
	}
}
