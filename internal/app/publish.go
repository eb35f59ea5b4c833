package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"plantgate/internal/command"
	"plantgate/internal/config"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/topic"
	"plantgate/internal/outbox"
)

// ownBrokerTarget is the target of what goes by the own broker.
const ownBrokerTarget = "broker"

// openCommands makes the ways that commands go, and a queue for each connection by which
// anything is published.
func (a *App) openCommands() error {
	a.outboxes = map[string]*outbox.Queue{}
	var routes []command.Route
	add := func(target string, list []config.Publish) error {
		for _, p := range list {
			template, err := topic.ParseTemplate(p.Topic)
			if err != nil {
				return fmt.Errorf("publish %s: %w", p.Topic, err)
			}
			routes = append(routes, command.Route{
				SiteID: p.SiteID, Machines: p.MachineIDs, Topic: template.Topic, QoS: byte(*p.QoS), Queue: a.queueOf(target),
			})
		}
		return nil
	}
	for _, c := range a.cfg.MQTT.Connections {
		if err := add(connectionName(mes.DoorMQTT, c.Name), c.Publish); err != nil {
			return err
		}
	}
	if b := a.cfg.MQTT.Broker; b.Enabled {
		if err := add(ownBrokerTarget, b.Publish); err != nil {
			return err
		}
	}
	for _, c := range a.cfg.OPCUA.Connections {
		if c.Bridge.Enabled() {
			a.queueOf(bridgeTarget(c.Bridge))
		}
	}
	a.commands = command.New(a.storage.storeOf(), routes, time.Now)
	return nil
}

// queueOf is the queue of a target, made when it is first asked for.
func (a *App) queueOf(target string) *outbox.Queue {
	if a.outboxes[target] == nil {
		a.outboxes[target] = outbox.New(a.storage.storeOf(), target, outbox.Options{Logger: a.log})
	}
	return a.outboxes[target]
}

// deliverBy brings messages of the outbox to a broker.
func deliverBy(ad *mqtt.Adapter) outbox.Deliver {
	return func(ctx context.Context, m outbox.Message) error {
		return orAway(ad.Publish(ctx, publication(m)))
	}
}

// deliverByOwn brings messages of the outbox to the own broker, and says of a command that
// nobody gets it. Other brokers don't tell.
func (a *App) deliverByOwn(ctx context.Context, m outbox.Message) error {
	subscribers, err := a.broker.Publish(ctx, publication(m))
	if err == nil && subscribers == 0 && command.Is(m) {
		a.log.Warn("a command reached nobody: no session of the own broker is subscribed to its topic", "command_id", m.ID, "topic", m.Topic)
	}
	return orAway(err)
}

func publication(m outbox.Message) mqtt.Publication {
	return mqtt.Publication{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retained: m.Retained}
}

// orAway marks an error that says that there is no connection, for the outbox.
func orAway(err error) error {
	if errors.Is(err, mqtt.ErrNotConnected) {
		return fmt.Errorf("%w: %w", outbox.ErrAway, err)
	}
	return err
}

// publishing is a connection that takes what waits for it along.
type publishing struct {
	*mqtt.Adapter
	deliver func(context.Context) error
	// lost waits until another server has the connection, and tells whether that was before
	// its context ended; nil where none can.
	lost func(context.Context) bool
}

// Run implements adapter. What is on its way at the end is waited for while the
// connection is up. Once another server has it this one goes at once, be it in the middle
// of that: both have the same client id, and would end each other's session.
func (p publishing) Run(ctx context.Context) error {
	connected, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	defer watch.Wait()
	defer disconnect()
	if p.lost != nil {
		watch.Go(func() {
			if p.lost(connected) {
				disconnect()
			}
		})
	}
	delivered := make(chan error, 1)
	go func() {
		delivered <- p.deliver(ctx)
		disconnect()
	}()
	err := p.Adapter.Run(connected)
	return errors.Join(err, <-delivered)
}

// openMQTT makes a connection. owner is the right to it, nil where it needs none; deal is
// the keeper of the right to publish by a connection that every server has.
func (a *App) openMQTT(c config.MQTTConnection, deps mqtt.Deps, owner *mes.Ownership, deal *lease.Keeper) (adapter, error) {
	deps.Ingester = a.commands.Replies(deps.Ingester)
	name := connectionName(mes.DoorMQTT, c.Name)
	queue := a.outboxes[name]
	if queue == nil {
		return mqtt.New(c, deps)
	}
	deps.Connected = queue.Connected
	ad, err := mqtt.New(c, deps)
	if err != nil {
		return nil, err
	}
	deliver := deliverBy(ad)
	if deal == nil {
		return publishing{ad, func(ctx context.Context) error { return queue.Run(ctx, deliver, owner) }, a.lossOf(name, owner)}, nil
	}
	return publishing{ad, func(ctx context.Context) error {
		return deal.While(ctx, name, func(ctx context.Context, l lease.Lease) error {
			mine := l.Ownership()
			return queue.Run(ctx, deliver, &mine)
		})
	}, nil}, nil
}

// lossOf waits for the loss of the right to a connection; nil where it needs none.
func (a *App) lossOf(name string, owner *mes.Ownership) func(context.Context) bool {
	keeper := a.storage.connections()
	if owner == nil || keeper == nil {
		return nil
	}
	return func(ctx context.Context) bool { return keeper.AwaitLoss(ctx, name, owner.Epoch) }
}

// runOwnBroker serves the own broker until ctx ends, its disk fails or nothing can be
// published any more.
func (a *App) runOwnBroker(ctx context.Context) error {
	publishing, stop := context.WithCancel(ctx)
	published := make(chan error, 1)
	go func() {
		queue := a.outboxes[ownBrokerTarget]
		if queue == nil {
			<-publishing.Done()
			published <- nil
			return
		}
		published <- queue.Run(publishing, a.deliverByOwn, nil)
	}()
	var failed error
	select {
	case <-a.broker.Failed():
		failed = errors.New("the disk failed on which the MQTT broker keeps its sessions")
	case failed = <-published:
		published <- nil
	case <-ctx.Done():
	}
	stop()
	return errors.Join(failed, <-published, a.broker.Close())
}

var (
	outboxWaitingDesc  = desc("outbox_waiting", "Messages that wait for the target.", "target")
	outboxAgeDesc      = desc("outbox_oldest_seconds", "Age of the oldest message that waits for the target; 0 if none does.", "target")
	outboxSentDesc     = desc("outbox_sent_total", "Messages that the target has taken from this server.", "target")
	outboxExpiredDesc  = desc("outbox_expired_total", "Messages whose time had passed before they could be sent.", "target")
	outboxDroppedDesc  = desc("outbox_dropped_total", "Values that were not published since too much waited, or the database was away for long.", "target")
	outboxFailuresDesc = desc("outbox_failures_total", "Attempts to send a message that failed; what is away is not tried.", "target")
)

// outboxCollector shows what waits and what went.
type outboxCollector struct {
	store interface {
		WaitingOf(ctx context.Context, target string) (outbox.Waiting, error)
	}
	queues map[string]*outbox.Queue
}

// longestCount is how long a scrape waits for the database.
const longestCount = 2 * time.Second

func (c *outboxCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{outboxWaitingDesc, outboxAgeDesc, outboxSentDesc, outboxExpiredDesc, outboxDroppedDesc, outboxFailuresDesc} {
		ch <- d
	}
}

func (c *outboxCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), longestCount)
	defer cancel()
	for target, queue := range c.queues {
		s := queue.Stats()
		ch <- prometheus.MustNewConstMetric(outboxSentDesc, prometheus.CounterValue, float64(s.Sent), target)
		ch <- prometheus.MustNewConstMetric(outboxExpiredDesc, prometheus.CounterValue, float64(s.Expired), target)
		ch <- prometheus.MustNewConstMetric(outboxDroppedDesc, prometheus.CounterValue, float64(s.Dropped), target)
		ch <- prometheus.MustNewConstMetric(outboxFailuresDesc, prometheus.CounterValue, float64(s.Failures), target)
		// While the database is away nobody knows what waits in it.
		w, err := c.store.WaitingOf(ctx, target)
		if err != nil {
			continue
		}
		age := 0.0
		if !w.Oldest.IsZero() {
			age = max(time.Since(w.Oldest).Seconds(), 0)
		}
		ch <- prometheus.MustNewConstMetric(outboxWaitingDesc, prometheus.GaugeValue, float64(w.Messages), target)
		ch <- prometheus.MustNewConstMetric(outboxAgeDesc, prometheus.GaugeValue, age, target)
	}
}
