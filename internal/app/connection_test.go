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
type floor struct{ received, running atomic.Int64 }

// visit is one ownership of it.
type visit struct {
	*floor
	began    int64
	ingester ingest.Ingester
}

func (v *visit) Run(ctx context.Context) error {
	v.running.Add(1)
	defer v.running.Add(-1)
	<-ctx.Done()
	return nil
}

func (v *visit) Status() mes.AdapterStatus {
	return mes.AdapterStatus{Door: mes.DoorMQTT, Name: "line", State: mes.AdapterRunning, Flow: mes.Flow{Received: v.received.Load() - v.began}}
}

// TestConnectionHasOneOwner: of two servers one has the connection and the other says
// who; when it goes over the other opens it anew, and counts go on.
func TestConnectionHasOneOwner(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "plant.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		running.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	f := new(floor)
	var missing atomic.Bool // a file of the configuration
	start := func(server string) (app.Adapter, context.CancelFunc) {
		keeper := lease.New(s, "connection", server, []string{app.ConnectionName(mes.DoorMQTT, "line")}, lease.Options{Keep: 400 * time.Millisecond, Every: 40 * time.Millisecond})
		c := app.Connect(mes.DoorMQTT, "line", keeper, nil, func(ingester ingest.Ingester) (app.Adapter, error) {
			if missing.Swap(false) {
				return nil, errors.New("password_file can't be read")
			}
			return &visit{f, f.received.Load(), ingester}, nil
		})
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		keeping, stopKeeping := context.WithCancel(context.WithoutCancel(t.Context()))
		running.Go(func() { keeper.Run(keeping) })
		running.Go(func() {
			defer stopKeeping()
			if err := c.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(cancel)
		return c, cancel
	}
	is := func(c app.Adapter, state mes.AdapterState, detail string, received int64) {
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
	first, stopFirst := start("a")
	is(first, mes.AdapterRunning, "", 0)
	second, stopSecond := start("b")
	is(second, mes.AdapterStandby, "the server a has the connection", 0)
	f.received.Add(3)
	is(first, mes.AdapterRunning, "", 3)
	stopFirst()
	is(second, mes.AdapterRunning, "", 0)
	is(first, mes.AdapterStandby, "no server has the connection yet", 3)
	f.received.Add(2)
	third, _ := start("c")
	is(third, mes.AdapterStandby, "the server b has the connection", 0)
	missing.Store(true)
	stopSecond()
	is(third, mes.AdapterBackingOff, "password_file can't be read", 0)
	is(third, mes.AdapterRunning, "", 0)
	if n := f.running.Load(); n != 1 {
		t.Errorf("%d servers have the connection", n)
	}
}
