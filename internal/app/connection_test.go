package app_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/ingest"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/store"
)

// floor is a connection that only counts.
type floor struct {
	received, running atomic.Int64
	down              atomic.Bool
}

// visit is one ownership of it.
type visit struct {
	*floor
	began    int64
	ingester ingest.Ingester
	missing  *atomic.Bool
}

var errMissing = errors.New("password_file can't be read")

func (v *visit) CheckFiles() error {
	if v.missing.Load() {
		return errMissing
	}
	return nil
}

func (v *visit) Run(ctx context.Context) error {
	v.running.Add(1)
	defer v.running.Add(-1)
	<-ctx.Done()
	return nil
}

func (v *visit) Status() mes.AdapterStatus {
	state := mes.AdapterRunning
	if v.down.Load() {
		state = mes.AdapterBackingOff
	}
	return mes.AdapterStatus{Door: mes.DoorMQTT, Name: "line", State: state, Flow: mes.Flow{Received: v.received.Load() - v.began}}
}

// shop is what several servers share.
type shop struct {
	floor
	*store.Store
	running sync.WaitGroup
}

func openShop(t *testing.T) *shop {
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := &shop{Store: s}
	t.Cleanup(func() {
		p.running.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// start starts a server, at which a file of the configuration may be missing.
func (p *shop) start(t *testing.T, server string, missing *atomic.Bool) (app.Adapter, context.CancelFunc) {
	keeper := lease.New(p, "connection", server, []string{app.ConnectionName(mes.DoorMQTT, "line")}, lease.Options{Keep: 400 * time.Millisecond, Every: 40 * time.Millisecond})
	c := app.Connect(mes.DoorMQTT, "line", keeper, nil, func(ingester ingest.Ingester) (app.Adapter, error) {
		if missing.Load() {
			return nil, errMissing
		}
		return &visit{&p.floor, p.received.Load(), ingester, missing}, nil
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(t.Context()))
	p.running.Go(func() { keeper.Run(keeping) })
	p.running.Go(func() {
		defer stopKeeping()
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(cancel)
	return c, cancel
}

// is waits until a connection has a status.
func is(t *testing.T, c app.Adapter, state mes.AdapterState, detail string, received int64) {
	t.Helper()
	var got mes.AdapterStatus
	defer func() {
		if t.Failed() {
			t.Logf("its status is %+v", got)
		}
	}()
	apptest.Eventually(t, string(state), func() bool {
		got = c.Status()
		return !got.Since.IsZero() == (state != mes.AdapterRunning) && got.State == state && got.Detail == detail && got.Received == received && got.Name == "line" && got.Door == mes.DoorMQTT
	})
}

// TestConnectionHasOneOwner: of two servers one has the connection and the other says
// who; when it goes over the other opens it anew, and counts go on.
func TestConnectionHasOneOwner(t *testing.T) {
	t.Parallel()
	p, missing := openShop(t), new(atomic.Bool)
	first, stopFirst := p.start(t, "a", missing)
	is(t, first, mes.AdapterRunning, "", 0)
	second, stopSecond := p.start(t, "b", missing)
	is(t, second, mes.AdapterStandby, "the server a has the connection", 0)
	p.received.Add(3)
	is(t, first, mes.AdapterRunning, "", 3)
	stopFirst()
	is(t, second, mes.AdapterRunning, "", 0)
	is(t, first, mes.AdapterStandby, "no server has the connection yet", 3)
	p.received.Add(2)
	third, _ := p.start(t, "c", missing)
	is(t, third, mes.AdapterStandby, "the server b has the connection", 0)
	stopSecond()
	is(t, third, mes.AdapterRunning, "", 0)
	if n := p.floor.running.Load(); n != 1 {
		t.Errorf("%d servers have the connection", n)
	}
}

// TestConnectionGoesWhereItCanBeOpened: a server at which a file is missing leaves the
// connection to another, and says why; it takes part again when the file is there.
func TestConnectionGoesWhereItCanBeOpened(t *testing.T) {
	t.Parallel()
	p, atFirst, atSecond := openShop(t), new(atomic.Bool), new(atomic.Bool)
	const cannot = "this server can't open the connection: password_file can't be read; "
	atFirst.Store(true)
	first, stopFirst := p.start(t, "a", atFirst)
	is(t, first, mes.AdapterBackingOff, cannot+"no server has the connection yet", 0)
	atFirst.Store(false)
	is(t, first, mes.AdapterRunning, "", 0)
	second, _ := p.start(t, "b", atSecond)
	is(t, second, mes.AdapterStandby, "the server a has the connection", 0)

	p.received.Add(3)
	atFirst.Store(true) // what is up is left alone
	time.Sleep(500 * time.Millisecond)
	is(t, first, mes.AdapterRunning, "", 3)
	p.down.Store(true)
	is(t, first, mes.AdapterBackingOff, cannot+"the server b has the connection", 3)
	p.down.Store(false)
	is(t, second, mes.AdapterRunning, "", 0)
	time.Sleep(500 * time.Millisecond)
	is(t, second, mes.AdapterRunning, "", 0)
	atFirst.Store(false)
	is(t, first, mes.AdapterStandby, "the server b has the connection", 3)

	atSecond.Store(true)
	p.down.Store(true)
	is(t, second, mes.AdapterBackingOff, cannot+"the server a has the connection", 0)
	p.down.Store(false)
	is(t, first, mes.AdapterRunning, "", 3)
	stopFirst()
	is(t, second, mes.AdapterBackingOff, cannot+"no server has the connection yet", 0)
}
