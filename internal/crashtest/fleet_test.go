//go:build integration

package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// fleet are machines that send by REST and MQTT, each over connections of its own that
// it keeps.
type fleet struct {
	*driver
	machines int
	// client makes the connections of a machine.
	client func(machine int) (at endpoint, others []endpoint)
}

// fleetPace is a record each second from either door of a machine.
var fleetPace = pace{own: time.Second, retry: time.Second / 2}

// run sends until ctx ends; every record that is not given up is then acknowledged.
func (f *fleet) run(ctx context.Context, seed uint64) {
	var all sync.WaitGroup
	for i := range f.machines {
		own := *f.driver
		own.pace = fleetPace
		at, others := f.client(i)
		own.url, own.client, own.others = at.url, at.client, others
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		begin := time.Duration(random.Int64N(int64(own.pace.own))) // not all at once
		name := fmt.Sprintf("M%03d", i)
		all.Go(func() {
			time.Sleep(begin)
			for ctx.Err() == nil {
				own.post(name, random)
				pauseFor(ctx, own.pace.own)
			}
		})
		if f.broker.url != "" {
			all.Go(func() {
				time.Sleep(begin)
				own.publishAs(ctx, name)
			})
		}
	}
	all.Wait()
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
