package sim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/ua"
)

// Group is a number of variables of a Load that change equally often.
type Group struct {
	Name  string
	Nodes int
	// Every is the time between two changes of a variable.
	Every time.Duration
}

// NodeID is that of the group's variable of a number from 0.
func (g Group) NodeID(number int) string { return fmt.Sprintf("ns=1;s=Load/%s/%d", g.Name, number) }

// Load is a server of which many variables change often. They count: the n-th value of a
// variable is n, from 0 on, an Int64.
type Load struct {
	*Server
	variables []*counter
	groups    []Group
	changes   atomic.Int64
	running   sync.WaitGroup
	halt      context.CancelFunc
}

// counter is a variable that counts.
type counter struct {
	nodeID *ua.NodeID
	key    string
	mu     sync.Mutex
	value  int64
	time   time.Time
}

// now is its value, with the time of the change as source time.
func (c *counter) now() *ua.DataValue {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &ua.DataValue{
		EncodingMask:    ua.DataValueValue | ua.DataValueSourceTimestamp | ua.DataValueServerTimestamp,
		Value:           ua.MustVariant(c.value),
		SourceTimestamp: c.time,
		ServerTimestamp: c.time,
	}
}

func (c *counter) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value++
	c.time = time.Now()
}

// StartLoad listens as Start does. Nothing changes before Run.
func StartLoad(ctx context.Context, addr string, groups ...Group) (*Load, error) {
	l := &Load{Server: &Server{plant: newPlant(time.Now)}, groups: groups, halt: func() {}}
	for _, g := range groups {
		for i := range g.Nodes {
			nodeID, err := ua.ParseNodeID(g.NodeID(i))
			if err != nil {
				return nil, fmt.Errorf("simulated load: %w", err)
			}
			l.variables = append(l.variables, &counter{nodeID: nodeID, key: nodeID.String(), time: time.Now()})
		}
	}
	ctx, err := l.listen(ctx, addr, l.add)
	if err != nil {
		return nil, err
	}
	l.tasks.Go(func() { l.tell(ctx) })
	return l, nil
}

func (l *Load) add() {
	ns := server.NewNodeNameSpace(l.opcua, Namespace)
	for _, c := range l.variables {
		node := ns.AddNode(server.NewVariableNode(c.nodeID, c.nodeID.StringID(), c.now))
		_ = node.SetAttribute(ua.AttributeIDDataType, server.DataValueFromValue(ua.NewNumericNodeID(0, id.Int64)))
	}
}

// tell has the server's clock monitored.
func (l *Load) tell(ctx context.Context) {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			l.notify.reread(clock())
		}
	}
}

// Run lets every variable change until Halt, or the end of ctx; the changes are spread
// evenly over time.
func (l *Load) Run(ctx context.Context) {
	ctx, l.halt = context.WithCancel(ctx)
	first := 0
	for _, g := range l.groups {
		variables := l.variables[first : first+g.Nodes]
		first += g.Nodes
		l.running.Go(func() { l.change(ctx, variables, g.Every) })
	}
}

// Halt ends the changes, and returns once there is none any more.
func (l *Load) Halt() {
	l.halt()
	l.running.Wait()
}

// Changes is how many there were.
func (l *Load) Changes() int64 { return l.changes.Load() }

// change changes one variable after the other, each once in a period.
func (l *Load) change(ctx context.Context, variables []*counter, every time.Duration) {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	began, done := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		due := int(float64(len(variables)) * float64(time.Since(began)) / float64(every))
		for ; done < due; done++ {
			l.count(variables[done%len(variables)])
		}
	}
}

func (l *Load) count(c *counter) {
	c.count()
	l.notify.changed(c.key, c.now())
	l.changes.Add(1)
}

// Change changes variables once, by their numbers among all.
func (l *Load) Change(numbers ...int) {
	for _, i := range numbers {
		l.count(l.variables[i])
	}
}

// Close ends the changes and the server.
func (l *Load) Close() error {
	l.Halt()
	return l.Server.Close()
}

// Unacknowledged is how many messages wait to be acknowledged.
func (l *Load) Unacknowledged() int {
	l.notify.mu.Lock()
	defer l.notify.mu.Unlock()
	n := 0
	for _, s := range l.notify.subs {
		n += len(s.sent)
	}
	return n
}
