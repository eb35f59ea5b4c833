package opcua

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
	"plantgate/internal/opcua/sim"
)

// still are variables that change on order only.
var still = sim.Group{Name: "Still", Nodes: 6, Every: time.Hour}

// ordered is a running adapter whose server changes variables on order; its first values
// are stored.
func ordered(t *testing.T, change func(*sim.Load, *config.OPCUAConnection)) (*sim.Load, *opcuatest.Proxy, *opcuatest.Ingester, *Adapter) {
	t.Helper()
	plant, proxy, cfg := counting(t, still)
	if change != nil {
		change(plant, &cfg)
	}
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	hasCounts(t, to, map[int]int{0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 0})
	inState(t, a, mes.AdapterRunning, "")
	return plant, proxy, to, a
}

// hasCounts waits until variables have come with these values.
func hasCounts(t *testing.T, to *opcuatest.Ingester, values map[int]int) {
	t.Helper()
	for number, value := range values {
		to.Wait(t, limit, "variable "+strconv.Itoa(number)+" with "+strconv.Itoa(value), func(r []mes.Record) bool {
			return opcuatest.Value(r, strconv.Itoa(number), func(v mes.Value) bool { return v == mes.Int(int64(value)) })
		})
	}
}

// doubtful are the signals that gap records name.
func doubtful(t *testing.T, records []mes.Record) (names []string) {
	t.Helper()
	for _, r := range records {
		for _, s := range r.Signals {
			if s.Name != "gap.signals" {
				continue
			}
			var list []string
			if err := json.Unmarshal([]byte(s.Value.Text()), &list); err != nil {
				t.Fatal(err)
			}
			names = append(names, list...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// gapsAre waits for gap records of these signals, and fails if there are others.
func gapsAre(t *testing.T, to *opcuatest.Ingester, want ...string) {
	t.Helper()
	to.Wait(t, limit, "gap records of "+strings.Join(want, ", "), func(r []mes.Record) bool {
		names := doubtful(t, r)
		return !slices.ContainsFunc(want, func(name string) bool { return !slices.Contains(names, name) })
	})
	time.Sleep(300 * time.Millisecond) // others would come at the same time
	if names := doubtful(t, to.Records()); !slices.Equal(names, want) {
		t.Errorf("there are gap records of %v, want %v", names, want)
	}
}

// reconnected waits for another session than those of before.
func reconnected(t *testing.T, a *Adapter, before int64) {
	t.Helper()
	eventually(t, "another session", func() bool { return a.Status().Reconnects > before })
	inState(t, a, mes.AdapterRunning, "")
}

// interrupt swallows everything until the adapter has noticed; meanwhile happens what
// changes meanwhile.
func interrupt(t *testing.T, a *Adapter, proxy *opcuatest.Proxy, meanwhile func()) {
	t.Helper()
	before := a.Status().Reconnects
	proxy.BlackHole()
	meanwhile()
	inState(t, a, mes.AdapterBackingOff, "")
	proxy.Resume()
	reconnected(t, a, before)
}

// TestMissingMessageIsAGap: a message that the server lost is seen by the numbers. Of each
// variable with another value after it, one may be missing; of the others none is.
func TestMissingMessageIsAGap(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare func(*sim.Load, *config.OPCUAConnection)
		next    []int
	}{
		"by the next message": {next: []int{2, 3}},
		"by one of the clock": {},
		"by a keep-alive":     {prepare: func(plant *sim.Load, _ *config.OPCUAConnection) { plant.WithoutClock() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plant, _, to, a := ordered(t, tc.prepare)
			plant.Lose(1)
			plant.Change(1, 2)
			eventually(t, "a lost message", func() bool { return len(plant.Lost()) > 0 })
			changed := slices.Concat(plant.Lost(), tc.next)
			plant.Change(tc.next...)
			slices.Sort(changed)
			var want []string
			for _, number := range slices.Compact(changed) {
				want = append(want, strconv.Itoa(number))
			}
			reconnected(t, a, 0)
			gapsAre(t, to, want...)
			hasCounts(t, to, map[int]int{1: 1})
			if n := a.Status().Reconnects; n != 1 {
				t.Errorf("%d reconnects", n)
			}
		})
	}
}

// TestKeptMessagesAreStored: a message that did not come is asked for again, also after one
// that the server has no more.
func TestKeptMessagesAreStored(t *testing.T) {
	t.Parallel()
	plant, _, to, a := ordered(t, nil)
	plant.Hide(1)
	plant.Change(2)
	eventually(t, "a message to nobody", func() bool { return plant.Hidden() == 1 })
	hasCounts(t, to, map[int]int{2: 1}) // the next that tells the time shows that it is missing
	if s := a.Status(); s.Reconnects != 0 || s.Gaps != 0 {
		t.Errorf("%d reconnects, %d gap records", s.Reconnects, s.Gaps)
	}

	plant.Lose(1)
	plant.Hide(1)
	plant.Change(1)
	eventually(t, "a lost message", func() bool { return len(plant.Lost()) == 1 })
	plant.Change(3)
	eventually(t, "a message to nobody", func() bool { return plant.Hidden() == 2 })
	plant.Change(3)
	hasCounts(t, to, map[int]int{1: 1, 3: 2})
	gapsAre(t, to, "1", "3")
	hasCounts(t, to, map[int]int{3: 1})
}

// TestLossOfAConnectionIsAGap: what was lost with a connection is noted, however the server
// came to lose it.
func TestLossOfAConnectionIsAGap(t *testing.T) {
	t.Parallel()
	change := func(plant *sim.Load) { plant.Change(0) }
	for name, tc := range map[string]struct {
		prepare   func(*sim.Load, *config.OPCUAConnection)
		meanwhile func(*sim.Load)
	}{
		"the subscription is over":  {nil, func(plant *sim.Load) { plant.Quicken(200 * time.Millisecond); plant.Change(0) }},
		"one value is kept":         {func(_ *sim.Load, cfg *config.OPCUAConnection) { cfg.QueueSize = 1 }, func(plant *sim.Load) { plant.Change(0, 0) }},
		"numbers are left out":      {func(plant *sim.Load, _ *config.OPCUAConnection) { plant.NumberFrom(1, 1) }, change},
		"one number is that of all": {func(plant *sim.Load, _ *config.OPCUAConnection) { plant.NumberFrom(1, math.MaxUint32) }, change},
		"the session hangs":         {func(plant *sim.Load, _ *config.OPCUAConnection) { plant.Hang() }, change},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plant, proxy, to, a := ordered(t, tc.prepare)
			if strings.Contains(name, "number") {
				eventually(t, "sessions enough", func() bool { return a.Status().Reconnects == maxMisnumbered })
				inState(t, a, mes.AdapterRunning, "")
				time.Sleep(time.Second)
				if n := a.Status().Reconnects; n != maxMisnumbered {
					t.Fatalf("%d reconnects", n)
				}
			}
			interrupt(t, a, proxy, func() { tc.meanwhile(plant) })
			gapsAre(t, to, "0")
			plant.Change(1)
			hasCounts(t, to, map[int]int{1: 1})
		})
	}
}

// TestNumbersWrap: after the greatest number of a message comes 1.
func TestNumbersWrap(t *testing.T) {
	t.Parallel()
	plant, proxy, cfg := counting(t, sim.Group{Name: "Fast", Nodes: 5, Every: 20 * time.Millisecond})
	plant.NumberFrom(math.MaxUint32-30, 0)
	cfg.PublishingInterval = 20 * time.Millisecond
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	inState(t, a, mes.AdapterRunning, "")
	plant.Run(t.Context())
	before := a.Status().Reconnects
	for range 3 {
		time.Sleep(400 * time.Millisecond)
		proxy.Cut()
		reconnected(t, a, before)
		before = a.Status().Reconnects
	}
	time.Sleep(time.Second)
	if n := a.Status().Reconnects; n != before {
		t.Errorf("%d reconnects, want %d", n, before)
	}
	eachOnce(t, plant, to, 5)
}

// TestMissingAcrossTheWrap: the message of the greatest number is asked for again.
func TestMissingAcrossTheWrap(t *testing.T) {
	t.Parallel()
	plant, _, to, a := ordered(t, func(plant *sim.Load, _ *config.OPCUAConnection) {
		plant.WithoutClock() // every message is one of ours
		plant.NumberFrom(math.MaxUint32-1, 0)
	})
	plant.Hide(1)
	plant.Change(2)
	eventually(t, "a message to nobody", func() bool { return plant.Hidden() == 1 })
	plant.Change(3)
	hasCounts(t, to, map[int]int{2: 1, 3: 1})
	if s := a.Status(); s.Reconnects != 0 || s.Gaps != 0 {
		t.Errorf("%d reconnects, %d gap records", s.Reconnects, s.Gaps)
	}
}

// TestServersThatRefuse: servers that have too many requests, or do not know what is
// acknowledged, are asked on; nothing is missing and no session is built anew.
func TestServersThatRefuse(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*sim.Load){
		"too many requests":          func(plant *sim.Load) { plant.Refuse(ua.StatusBadTooManyPublishRequests, 2) },
		"unknown acknowledgements":   func(plant *sim.Load) { plant.RefuseAcknowledgements() },
		"messages that are not kept": func(plant *sim.Load) { plant.Forget() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plant, _, cfg := counting(t, sim.Group{Name: "Fast", Nodes: 5, Every: 50 * time.Millisecond})
			cfg.Watchdog = 5 * time.Second
			to := opcuatest.NewIngester()
			a := running(t, cfg, to, quick())
			inState(t, a, mes.AdapterRunning, "")
			plant.Run(t.Context())
			for range 3 {
				fault(plant)
				time.Sleep(200 * time.Millisecond)
			}
			eachOnce(t, plant, to, 5)
			if s := a.Status(); s.Reconnects != 0 || s.Gaps != 0 {
				t.Errorf("%d reconnects, %d gap records", s.Reconnects, s.Gaps)
			}
		})
	}
}

// TestSessionIsTransferred: a subscription is taken up by a new session where the server
// has the old one no more.
func TestSessionIsTransferred(t *testing.T) {
	t.Parallel()
	plant, proxy, cfg := counting(t, sim.Group{Name: "Fast", Nodes: 5, Every: 50 * time.Millisecond})
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	inState(t, a, mes.AdapterRunning, "")
	plant.Run(t.Context())
	for range 3 {
		before := a.Status().Reconnects
		plant.ForgetSessions()
		proxy.Cut()
		reconnected(t, a, before)
	}
	eachOnce(t, plant, to, 5)
	if s := a.Status(); s.Gaps != 0 || plant.Subscriptions() != 1 {
		t.Errorf("%d gap records, %d subscriptions", s.Gaps, plant.Subscriptions())
	}
}

// TestDeadSubscriptionIsLeft: a subscription that says nothing though its session lives is
// taken up once at most.
func TestDeadSubscriptionIsLeft(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*sim.Load, *config.OPCUAConnection){
		"with the server's clock": nil,
		"without":                 func(plant *sim.Load, _ *config.OPCUAConnection) { plant.WithoutClock() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plant, _, to, a := ordered(t, prepare)
			time.Sleep(3 * time.Second) // with nothing to say but that it lives
			if s := a.Status(); s.Reconnects != 0 || s.State != mes.AdapterRunning {
				t.Fatalf("%d reconnects, %s: %s", s.Reconnects, s.State, s.Detail)
			}
			plant.Mute()
			plant.Change(0)
			hasCounts(t, to, map[int]int{0: 1})
			inState(t, a, mes.AdapterRunning, "")
			eventually(t, "one subscription", func() bool { return plant.Subscriptions() == 1 })
			gapsAre(t, to, "0")
		})
	}
}

// TestAcknowledgementsAreFew: what is to be acknowledged does not pile up, also where an
// acknowledgement is lost.
func TestAcknowledgementsAreFew(t *testing.T) {
	t.Parallel()
	plant, proxy, cfg := counting(t, sim.Group{Name: "Fast", Nodes: 5, Every: 10 * time.Millisecond})
	cfg.PublishingInterval = 10 * time.Millisecond
	to := opcuatest.NewIngester()
	a := running(t, cfg, to, quick())
	inState(t, a, mes.AdapterRunning, "")
	plant.Run(t.Context())
	for range 5 {
		before := a.Status().Reconnects
		time.Sleep(300 * time.Millisecond)
		proxy.Cut()
		reconnected(t, a, before)
	}
	eachOnce(t, plant, to, 5)
	eventually(t, "everything acknowledged", func() bool { return plant.Unacknowledged() <= 1 })
	if n := plant.Acknowledged(); n == 0 || n > 20 {
		t.Errorf("%d messages were acknowledged by one request", n)
	}
}

// TestMisnumbered: that numbers are no numbers is not concluded from what was lost with
// connections.
func TestMisnumbered(t *testing.T) {
	t.Parallel()
	missing, other := errMissing, errors.New("another")
	long, short := time.Now().Add(-time.Minute), time.Now()
	for name, tc := range map[string]struct {
		lives []func(*lane)
		want  int
	}{
		"undisturbed": {[]func(*lane){
			func(l *lane) { l.lived(long, missing, false) },
			func(l *lane) { l.lived(short, missing, false) },
		}, 2},
		"taken up": {[]func(*lane){
			func(l *lane) { l.lived(short, missing, false) },
			func(l *lane) { l.lived(short, missing, true) },
		}, 1},
		"a long life": {[]func(*lane){
			func(l *lane) { l.lived(short, missing, false) },
			func(l *lane) { l.lived(long, other, false) },
		}, 0},
		"known": {[]func(*lane){
			func(l *lane) { l.misnumbered = maxMisnumbered },
			func(l *lane) { l.lived(long, other, false) },
		}, maxMisnumbered},
	} {
		l := &lane{a: &Adapter{}}
		for _, live := range tc.lives {
			live(l)
		}
		if l.misnumbered != tc.want {
			t.Errorf("%s: %d, want %d", name, l.misnumbered, tc.want)
		}
	}
}

// TestAfter: no message has the number 0.
func TestAfter(t *testing.T) {
	t.Parallel()
	for number, want := range map[uint32]uint32{1: 2, math.MaxUint32 - 1: math.MaxUint32, math.MaxUint32: 1} {
		if got := after(number); got != want {
			t.Errorf("after %d comes %d", number, got)
		}
	}
}

// TestLifeCounts: a server says that a subscription lives once in the time of the watchdog,
// and keeps it for two minutes, whatever its interval.
func TestLifeCounts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		interval, watchdog  time.Duration
		keepAlive, lifetime uint32
	}{
		{500 * time.Millisecond, 5 * time.Second, 10, 240},
		{10 * time.Millisecond, 5 * time.Second, 500, 12000},
		{time.Minute, 5 * time.Second, 3, 30},
		{time.Nanosecond, time.Hour, math.MaxInt16, math.MaxInt32},
	} {
		if k, l := lifeCounts(tc.interval, tc.watchdog); k != tc.keepAlive || l != tc.lifetime {
			t.Errorf("%s, %s: %d and %d, want %d and %d", tc.interval, tc.watchdog, k, l, tc.keepAlive, tc.lifetime)
		}
	}
}
