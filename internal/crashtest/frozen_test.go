//go:build integration

package crashtest

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/store/storetest"
)

const (
	// frozenRounds is how often CI stops a server of a cluster; PLANTGATE_TEST_ROUNDS says
	// otherwise.
	frozenRounds = 2
	// takeOver is how soon the others have what a server had that says nothing.
	takeOver = 15 * time.Second
	// margin is for a machine that has other things to do.
	margin = 5 * time.Second
)

// TestSQLServerFrozen stops one of three servers without ending it, as a virtual machine
// that is moved, for longer than its leases are kept: the others go on in its place, and
// when it comes back it changes nothing that is theirs. By turns it is the one with most
// lanes and the one with the connection to the broker.
func TestSQLServerFrozen(t *testing.T) {
	storetest.NeedSQLServer(t)
	c := openCluster(t, build(t), 3)
	for round := range int(number(t, "PLANTGATE_TEST_ROUNDS", frozenRounds)) {
		frozen := c.busiest()
		if round%2 == 1 {
			frozen = c.connected()
		}
		c.freeze(frozen)
	}
	var found []storedRecord
	for _, p := range c.servers {
		found = c.verify(p)
	}
	for _, p := range c.servers {
		if code, err := p.process.Stop(os.Interrupt); code != 0 || err != nil {
			t.Errorf("exit code %d, %v:\n%s", code, err, lastLines(p.process.Stderr()))
		}
	}
	if err := verifyShared(t.Context(), c.dsn, len(found)); err != nil {
		t.Error(err)
	}
	t.Logf("%d records sent, %d acknowledged by REST and %d by the broker, %d stored; answers by REST %v",
		len(c.ledger.entries), c.ledger.acked("rest"), c.ledger.acked("mqtt"), len(found), c.ledger.answers)
}

// busiest is the server with most lanes.
func (c *cluster) busiest() *plant {
	lanes := sharesOf(c.servers).lanes
	return c.servers[slices.Index(lanes, slices.Max(lanes))]
}

// connected is the server that has the connection to the broker.
func (c *cluster) connected() *plant {
	c.t.Helper()
	i := slices.IndexFunc(c.servers, func(p *plant) bool { return p.connection() != mes.AdapterStandby })
	if i < 0 {
		c.t.Fatal("no server has the connection to the broker")
	}
	return c.servers[i]
}

// freeze stops a server, and lets it go on under load once the others have all that it
// had, and that was right.
func (c *cluster) freeze(frozen *plant) {
	c.t.Helper()
	others := c.others(frozen)
	stop := c.load()
	time.Sleep(3 * time.Second)
	stop()
	c.verify(frozen) // also what it got back in an earlier round
	before := sharesOf([]*plant{frozen})
	stop = c.load()
	time.Sleep(time.Second)
	frozen.signal(syscall.SIGSTOP) // whatever it is about to do
	begun := time.Now()
	took := c.awaitWhole(others, 2*takeOver)
	if took > takeOver+margin {
		c.t.Errorf("the others had everything after %s only", took)
	}
	stop()
	if c.emptied(others, takeOver) {
		for _, p := range others {
			c.verify(p)
		}
	} else {
		// Its locks stand until the database finds it dead, which it is not. What meets
		// them waits in the logs of the others.
		c.t.Log("the server was stopped in the middle of a transaction")
	}
	stop = c.load()
	time.Sleep(time.Until(begun.Add(takeOver + 2*time.Second)))
	away := time.Since(begun)
	said := len(frozen.process.Stderr())
	frozen.signal(syscall.SIGCONT)
	continued := time.Now()
	time.Sleep(2 * time.Second)
	stop()
	if !c.emptied(c.servers, time.Minute) {
		c.t.Fatal("what waited for the locks of the server that was stopped is not in the database a minute after it went on")
	}
	c.verify(others[0])
	c.awaitEven()
	even := time.Since(continued)
	if !strings.Contains(frozen.process.Stderr()[said:], "another server has taken over") {
		c.t.Errorf("the server that was stopped does not say that it lost anything:\n%s", lastLines(frozen.process.Stderr()[said:]))
	}
	c.verify(frozen)
	c.t.Logf("a server with %d lanes (the connection: %t) was stopped for %s; the others had everything after %s, and shares were even %s after it went on",
		before.lanes[0], len(before.owners) == 1, away.Round(time.Second), took.Round(time.Second/10), even.Round(time.Second/10))
}

// emptied waits until nothing waits for the database in the logs of servers, and tells
// whether that is so.
func (c *cluster) emptied(servers []*plant, patience time.Duration) bool {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		full := slices.ContainsFunc(servers, func(p *plant) bool { return p.waiting() != 0 })
		if !full || time.Now().After(deadline) {
			return !full
		}
	}
}

// waiting is how many records are in a server's log only; -1 if it does not say.
func (p *plant) waiting() int64 {
	p.t.Helper()
	resp, err := p.client.Get(p.url + "/readyz")
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	var state struct{ Store struct{ Waiting int64 } }
	if err := json.NewDecoder(resp.Body).Decode(&state); err != nil {
		return -1
	}
	return state.Store.Waiting
}

func (p *plant) signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.process.PID(), s); err != nil {
		p.t.Fatal(err)
	}
}
