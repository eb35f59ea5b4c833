//go:build integration

package crashtest

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"plantgate/internal/store/storetest"
)

// shortOutage is how many seconds CI lets the database be away, in a load of
// loadPerOutage times that; PLANTGATE_TEST_OUTAGE says otherwise.
const (
	shortOutage   = 8
	loadPerOutage = 2.5
)

// outageMachines is how many send all along.
const outageMachines = 200

// lastAlone is for how long the server that was started meanwhile has no database. It
// takes a while to find out that one is silent.
const lastAlone = 10 * time.Second

// drainPatience is how long what was kept may take to come into the database, for each
// second of the outage.
const drainPatience = 10

// TestSQLServerOutage cuts the way to the database under load, and kills the server
// meanwhile: whatever was acknowledged must be there once, and nobody gets a 5xx other
// than 503.
func TestSQLServerOutage(t *testing.T) {
	storetest.NeedSQLServer(t)
	binary := build(t)
	away := time.Duration(number(t, "PLANTGATE_TEST_OUTAGE", shortOutage)) * time.Second
	for name, cut := range map[string]func(*proxy){"refused": (*proxy).refuse, "silent": (*proxy).silence} {
		t.Run(name, func(t *testing.T) {
			o := openOutage(t, binary)
			o.run(away, cut)
			found := o.verifyAll()
			if code, err := o.process.Stop(os.Interrupt); code != 0 || err != nil {
				t.Errorf("exit code %d, %v:\n%s", code, err, o.process.Stderr())
			}
			if err := verifyShared(t.Context(), o.dsn, len(found)); err != nil {
				t.Error(err)
			}
			t.Logf("%d machines, the database away for %s: %d records sent, %d acknowledged by REST and %d by MQTT, %d stored; "+
				"answers by REST %v; %d records waited for the database when the way was free, and were in it %s later",
				outageMachines, away, len(o.ledger.entries), o.ledger.acked("rest"), o.ledger.acked("mqtt"), len(found),
				o.ledger.answers, o.waited, o.drained.Round(time.Second/10))
		})
	}
}

// outage is a plant whose database goes away.
type outage struct {
	*plant
	dsn    string // past the proxy
	way    *proxy
	waited int64
	// drained is how long that took to come into the database.
	drained time.Duration
}

func openOutage(t *testing.T, binary string) *outage {
	t.Helper()
	dsn := openDatabase(t, binary)
	key := command(t, binary, dsn, "keys", "create", "--name", "machines", "--scope", "data:write,data:read")
	way, through := throughProxy(t, dsn)
	o := &outage{plant: openPlantOn(t, binary, nil, sharedStore(through, "one")), dsn: dsn, way: way}
	o.key = key
	return o
}

// run sends, and cuts the way in the middle of it.
func (o *outage) run(away time.Duration, cut func(*proxy)) {
	o.t.Helper()
	ctx, stop := context.WithCancel(o.t.Context())
	defer stop()
	fleet := &fleet{driver: o.driver, machines: outageMachines, client: func(int) (endpoint, []endpoint) {
		return endpoint{o.url, o.newClient()}, nil
	}}
	written := make(chan struct{})
	go func() {
		defer close(written)
		fleet.run(ctx, o.random.Uint64())
	}()
	around := time.Duration(float64(away) * (loadPerOutage - 1) / 2)
	time.Sleep(around)
	o.awaitKnown()
	cut(o.way)
	alone := min(lastAlone, away*3/4) // from the kill on
	time.Sleep(away - alone)
	before := o.ledger.answersOf(http.StatusAccepted)
	if err := o.process.Kill(); err != nil {
		o.t.Fatal(err)
	}
	o.start()
	o.ready()
	time.Sleep(alone)
	o.mustServe(before)
	o.way.open()
	o.drained = o.awaitDrained(drainPatience * away) // while they go on
	time.Sleep(around)
	stop()
	<-written
	o.awaitDrained(drainPatience * away)
}

// awaitKnown waits until the server has written what it needs to know of keys.
func (o *outage) awaitKnown() {
	o.t.Helper()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(retryPause) {
		if _, err := os.Stat(filepath.Join(o.program.Folder, "data", "plantgate.log.d.known.json")); err == nil {
			return
		}
	}
	o.t.Fatal("the server does not keep the keys that it knows")
}

// mustServe looks whether a server that was started without its database takes records.
func (o *outage) mustServe(before int) {
	o.t.Helper()
	accepted := o.ledger.answersOf(http.StatusAccepted)
	if accepted-before < outageMachines/2 {
		o.t.Errorf("the server was started without its database, and took only %d requests", accepted-before)
	}
	state, status, err := o.readiness()
	if err != nil || status != http.StatusOK || state.Status != "degraded" || state.Store.Ready {
		o.t.Errorf("without the database /readyz answers %d %+v, %v", status, state, err)
	}
	o.waited = state.Store.Waiting
}

// readiness is what /readyz says.
type readiness struct {
	Status string
	Store  struct {
		Ready   bool
		Waiting int64
	}
}

func (d *driver) readiness() (state readiness, status int, err error) {
	status, err = d.getOnce("/readyz", url.Values{}, &state)
	return state, status, err
}

// awaitDrained waits until nothing waits for the database any more, and returns how long
// that took.
func (o *outage) awaitDrained(patience time.Duration) time.Duration {
	o.t.Helper()
	begun := time.Now()
	var state readiness
	for ; time.Since(begun) < patience; time.Sleep(5 * retryPause) {
		var status int
		var err error
		state, status, err = o.readiness()
		if err == nil && status == http.StatusOK && state.Store.Ready && state.Store.Waiting == 0 {
			return time.Since(begun)
		}
	}
	o.t.Fatalf("after %s %d records still wait for the database", patience, state.Store.Waiting)
	return 0
}
