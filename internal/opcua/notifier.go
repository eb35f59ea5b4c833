package opcua

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/opcua/alarm"
)

// eventHandles is the first client handle of notifiers; they count downwards from it. It
// is above those of nodes and below modelHandle.
const eventHandles = math.MaxInt32 - 1

// maxAsked bounds the event types that a server is asked for by name, subtypes included.
const maxAsked = 100

// form is how much is left to the server of choosing events. Where it refuses one, the
// next is tried.
type form int

const (
	// bySubtypes names every subtype: not every server knows supertypes.
	bySubtypes form = iota
	byTypes
	// everything leaves the choice to plantgate.
	everything
	// baseOnly asks for the fields that every event has: the server knows no conditions.
	baseOnly
	forms
)

// owner is the machine that an event is of.
type owner struct{ siteID, machineID string }

// notifier is a configured notifier and its monitored item. Only the goroutine of the first
// lane uses it.
type notifier struct {
	index int
	cfg   config.OPCUAEvents
	// owner has the events of sources that are not configured.
	owner
	sources map[string]owner
	// form is what the server takes; it outlives sessions.
	form form
	// Of the present session: the server's id of the item, what is wrong, its types with
	// and without their subtypes, and when the newest event came.
	itemID          uint32
	fault           string
	retryAt         time.Time
	wait            *backoff.ExponentialBackOff
	types, subtypes []*ua.NodeID
	newest          time.Time
}

// notifiers lists what is configured.
func notifiers(cfg config.OPCUAConnection, defaultSite string) []*notifier {
	var all []*notifier
	for _, m := range cfg.Machines {
		site := cmp.Or(m.SiteID, cfg.SiteID, defaultSite)
		for _, e := range m.Events {
			n := &notifier{index: len(all), cfg: e, owner: owner{site, m.MachineID}, sources: map[string]owner{}}
			for _, s := range e.Sources {
				n.sources[s.Source] = owner{cmp.Or(s.SiteID, site), s.MachineID}
			}
			all = append(all, n)
		}
	}
	return all
}

// name is how the notifier is named in messages and records.
func (n *notifier) name() string { return n.cfg.Notifier() }

// key is what is kept of it under.
func (n *notifier) key() string { return n.siteID + "\x00" + n.machineID + "\x00" + n.name() }

func (n *notifier) handle() uint32 { return uint32(eventHandles - n.index) }

// begin forgets the item of an earlier session.
func (n *notifier) begin() {
	n.itemID, n.fault, n.retryAt, n.wait, n.newest = 0, "", time.Time{}, nil, time.Time{}
}

// request asks for its events.
func (n *notifier) request(nodeID *ua.NodeID) *ua.MonitoredItemCreateRequest {
	f := alarm.Filter{MinSeverity: uint16(n.cfg.MinSeverity), Types: n.types, Everything: n.form >= everything, BaseOnly: n.form == baseOnly}
	if n.form == bySubtypes {
		f.Types = n.subtypes
	}
	r := createRequest(nodeID, n.handle(), 0, n.cfg.Queue())
	r.ItemToMonitor.AttributeID = ua.AttributeIDEventNotifier
	r.RequestedParameters.Filter = ua.NewExtensionObject(f.EventFilter())
	return r
}

// simpler takes the next form, and tells whether there is one that asks for something else.
func (n *notifier) simpler() bool {
	if n.form+1 >= forms {
		return false
	}
	n.form++
	if n.form == byTypes && len(n.subtypes) == len(n.types) {
		n.form++
	}
	if n.form == everything && len(n.types) == 0 && n.cfg.MinSeverity <= 1 {
		n.form++
	}
	return true
}

// of is the machine that an event is of.
func (n *notifier) of(e *alarm.Event, sourceNode string) owner {
	if e.SourceName != nil {
		if o, ok := n.sources[*e.SourceName]; ok {
			return o
		}
	}
	if o, ok := n.sources[sourceNode]; ok && sourceNode != "" {
		return o
	}
	return n.owner
}

// owners are all machines whose events it tells, each once.
func (n *notifier) owners() []owner {
	seen := map[owner]bool{n.owner: true}
	all := []owner{n.owner}
	for _, s := range n.cfg.Sources {
		if o := n.sources[s.Source]; !seen[o] {
			seen[o] = true
			all = append(all, o)
		}
	}
	return all
}

// explainNotifier is what is wrong with a notifier that the server refuses.
func explainNotifier(code ua.StatusCode, text string) string {
	switch code {
	case ua.StatusBadAttributeIDInvalid, ua.StatusBadServiceUnsupported, ua.StatusBadNotReadable:
		return fmt.Sprintf("the server offers no events of it: %s", text)
	}
	return text
}
