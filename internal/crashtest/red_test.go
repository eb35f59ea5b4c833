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
	redKills = 8
	redLife  = 600 * time.Millisecond
)

// ackFirst acknowledges 50 ms before the frame is written to the log.
var ackFirst = edit{
	"internal/ingest/writer.go",
	"	return w.resolve(ctx, tx, jobs)\n",
	`	if err := w.resolve(ctx, tx, jobs); err != nil {
		return err
	}
	for i, j := range jobs {
		copied := *j
		copied.done = make(chan struct{}, 1)
		jobs[i] = &copied
		j.finish(nil)
	}
	time.Sleep(50 * time.Millisecond)
	return nil
`,
}

// neverLast keeps the store from committing while it appends, before ackFirst does its
// harm.
var neverLast = edit{"internal/ingest/writer.go", "	if isPlain(jobs) {\n", "	if false && isPlain(jobs) {\n"}

// noReplay begins behind what the log holds and the database does not.
var noReplay = edit{
	"internal/app/storage.go",
	"	now := journal.Begin(s.log, before)\n",
	"	now := journal.Begin(s.log, before)\n	now.Position = s.log.End()\n",
}

// newIDs gives each arrival an id of its own.
var newIDs = edit{"internal/mes/identity.go", "	r.ID = r.identity(r.Time, receiver)\n", "	r.ID = NewID()\n"}

// TestFaultsAreFound runs programs that break their promises. The test of the
// kills must find what they lose and double, through every door.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	lost := func(r report) []string { return r.lost }
	doubled := func(r report) []string { return r.doubled }
	for name, test := range map[string]struct {
		change edit
		broker func(testing.TB) *brokertest.Broker
		faults func(report) []string
	}{
		"acknowledged before the commit": {ackFirst, brokertest.Mosquitto, lost},
		"the same with the own broker":   {ackFirst, nil, lost},
		"the tail of the log forgotten":  {noReplay, brokertest.Mosquitto, lost},
		"a new id for each arrival":      {newIDs, brokertest.Mosquitto, doubled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openPlant(t, build(t, test.change), test.broker)
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
