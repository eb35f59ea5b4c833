package journal

import (
	"strings"

	"plantgate/internal/mes"
)

// pending is what the log holds that was not applied to the store yet, as far as
// later records have to be compared with it.
type pending struct {
	records              map[mes.ID]struct{}
	deliveries           map[DeliveryName]Delivery
	connectionDeliveries map[connectionDeliveryName]mes.Delivery
	// items came for quarantine, resolved were replayed or discarded.
	items, resolved map[mes.ID]struct{}
}

func newPending() pending {
	return pending{
		records:              map[mes.ID]struct{}{},
		deliveries:           map[DeliveryName]Delivery{},
		connectionDeliveries: map[connectionDeliveryName]mes.Delivery{},
		items:                map[mes.ID]struct{}{},
		resolved:             map[mes.ID]struct{}{},
	}
}

func (p *pending) add(g *Group) {
	for i := range g.Records {
		p.records[g.Records[i].ID] = struct{}{}
	}
	for _, d := range g.Deliveries {
		d.SiteID, d.MachineID, d.Key = strings.Clone(d.SiteID), strings.Clone(d.MachineID), strings.Clone(d.Key)
		p.deliveries[d.DeliveryName] = d
	}
	for _, m := range g.ConnectionDeliveries {
		p.addConnectionDelivery(m)
	}
	for i := range g.Items {
		p.items[g.Items[i].ID] = struct{}{}
	}
	for i := range g.Resolved {
		p.resolved[g.Resolved[i].ID] = struct{}{}
	}
}

// connectionDeliveryName is the name of what came by a connection.
type connectionDeliveryName struct{ connection, name string }

// addConnectionDelivery returns what had the name before.
func (p *pending) addConnectionDelivery(m mes.Delivery) (before mes.Delivery) {
	name := connectionDeliveryName{strings.Clone(m.Connection), strings.Clone(m.Name)}
	m.Connection, m.Name = name.connection, name.name
	before = p.connectionDeliveries[name]
	if before.Connection == "" || m.Number >= before.Number {
		p.connectionDeliveries[name] = m
	}
	return before
}

// forgetConnectionDeliveries takes out those that were applied. A name that was delivered anew meanwhile
// stays.
func (p *pending) forgetConnectionDeliveries(list []mes.Delivery) {
	for _, m := range list {
		if name := (connectionDeliveryName{m.Connection, m.Name}); p.connectionDeliveries[name] == m {
			delete(p.connectionDeliveries, name)
		}
	}
}

// forget takes out what was applied, or what a transaction brought that failed. A
// name that was delivered anew meanwhile stays.
func (p *pending) forget(deliveries []Delivery, resolved []mes.QuarantineItem) {
	for _, d := range deliveries {
		if kept := p.deliveries[d.DeliveryName]; kept.RecordID == d.RecordID && kept.ArrivedAt.Equal(d.ArrivedAt) {
			delete(p.deliveries, d.DeliveryName)
		}
	}
	for i := range resolved {
		delete(p.resolved, resolved[i].ID)
	}
}

// unit is what is known of a work unit.
type unit struct {
	// newest is the time of its newest record in microseconds since 1970, in the
	// log or the store, or noRecord.
	newest int64
	// before is what newest was at the beginning of the commit of that number, the last
	// that had records of it: what is newer can only be of that commit.
	before int64
	commit uint64
}

// enter takes note of a commit that has records of the unit.
func (u *unit) enter(commit uint64) {
	if u.commit != commit {
		u.commit, u.before = commit, u.newest
	}
}

// noRecord is before every time.
const noRecord = -1 << 63

type unitName struct{ site, machine string }
