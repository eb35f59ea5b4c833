//go:build integration

package crashtest

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/store"
)

// cluster are servers that share a database, each with a name, a port and a log of its
// own, and all with the same connection to a broker.
type cluster struct {
	t       *testing.T
	dsn     string
	servers []*plant
	ledger  *ledger
}

func openCluster(t *testing.T, binary string, servers int) *cluster {
	t.Helper()
	c := &cluster{t: t, dsn: openDatabase(t, binary), ledger: newLedger()}
	access, section := realBroker(brokertest.Mosquitto(t))
	for i := range servers {
		name := fmt.Sprintf("server-%d", i+1)
		p := startPlant(t, binary, sharedStore(c.dsn, name), section)
		p.name, p.broker, p.ledger, p.late = name, access, c.ledger, clusterLate
		c.servers = append(c.servers, p)
	}
	c.awaitEven()
	c.servers[0].awaitSession()
	return c
}

// clusterMachines are few enough for a small machine to serve, and many enough for every
// lane to have some.
const clusterMachines = 48

// clusterLate makes records come behind those that a server saw before it was stopped.
const clusterLate = 30 * time.Second

// load sends records to all servers, until the function that it returns is called, which
// waits for the last acknowledgements.
func (c *cluster) load() (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	first := c.servers[0]
	fleet := &fleet{driver: first.driver, machines: clusterMachines, client: c.endpoints}
	written := make(chan struct{})
	go func() {
		defer close(written)
		fleet.run(ctx, first.random.Uint64())
	}()
	return func() {
		cancel()
		<-written
	}
}

// endpoints are the servers, in an order of each machine's own.
func (c *cluster) endpoints(machine int) (endpoint, []endpoint) {
	var list []endpoint
	for i := range c.servers {
		p := c.servers[(machine+i)%len(c.servers)]
		list = append(list, endpoint{p.url, p.newClient()})
	}
	return list[0], list[1:]
}

// others are all servers but one.
func (c *cluster) others(p *plant) []*plant {
	return slices.DeleteFunc(slices.Clone(c.servers), func(other *plant) bool { return other == p })
}

// lanes is how many lanes a server has.
func (p *plant) lanes() int {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.url+"/metrics", http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", p.key)
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "plantgate_lanes_held "); ok {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return int(n)
		}
	}
	p.t.Fatalf("%s: no plantgate_lanes_held in the metrics", resp.Status)
	return 0
}

// connection is the state of the connection to the broker.
func (p *plant) connection() mes.AdapterState {
	p.t.Helper()
	var page struct {
		Items []struct{ State mes.AdapterState }
	}
	if err := p.get("/api/v1/adapters", url.Values{}, &page); err != nil {
		p.t.Fatal(err)
	}
	if len(page.Items) != 1 {
		p.t.Fatalf("%d connections", len(page.Items))
	}
	return page.Items[0].State
}

// shares is how many lanes each server has, and who has the connection to the broker.
type shares struct {
	lanes  []int
	owners []int
}

func sharesOf(servers []*plant) (s shares) {
	for i, p := range servers {
		s.lanes = append(s.lanes, p.lanes())
		if p.connection() != mes.AdapterStandby {
			s.owners = append(s.owners, i)
		}
	}
	return s
}

// areWhole tells whether everything has one owner, and nobody much more than another.
func (s shares) areWhole() bool {
	sum, fair := 0, (store.Lanes+len(s.lanes)-1)/len(s.lanes)
	for _, n := range s.lanes {
		sum += n
	}
	return sum == store.Lanes && slices.Max(s.lanes) <= fair && len(s.owners) == 1
}

// awaitWhole waits until these servers have everything among them, and returns how long
// that took.
func (c *cluster) awaitWhole(servers []*plant, patience time.Duration) time.Duration {
	c.t.Helper()
	begun := time.Now()
	for {
		s := sharesOf(servers)
		took := time.Since(begun)
		if s.areWhole() {
			return took
		}
		if took > patience {
			c.t.Fatalf("after %s they have %+v", patience, s)
		}
		time.Sleep(5 * retryPause)
	}
}

// awaitEven waits until all servers have their parts.
func (c *cluster) awaitEven() time.Duration {
	c.t.Helper()
	return c.awaitWhole(c.servers, time.Minute)
}

// verify compares what a server has, shows and sums up with what was sent.
func (c *cluster) verify(p *plant) []storedRecord {
	c.t.Helper()
	if err := p.drain(time.Minute); err != nil {
		c.t.Fatal(err)
	}
	// What a sender gave up may still be on its way, and come between the two looks.
	var found []storedRecord
	var err error
	for range 5 {
		found = p.verifyAll()
		if err = p.verifySeries(found); err == nil {
			return found
		}
		time.Sleep(2 * time.Second)
	}
	c.t.Error(err)
	return found
}
