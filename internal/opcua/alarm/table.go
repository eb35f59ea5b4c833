package alarm

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
)

// maxAlarms bounds the alarms of one notifier; a server has few.
const maxAlarms = 10_000

// Table is what is known of the alarms that there are now, by notifier. It is safe for
// concurrent use.
type Table struct {
	mu        sync.Mutex
	notifiers map[int]*notifier
}

type notifier struct {
	alarms map[key]*known
	// open are conditions that were told and have not ended: some servers retain none that
	// is acknowledged, while it still is active.
	open map[key]bool
	// round counts refreshes; what was not told since the last is gone.
	round int
	// refreshedAt is when a refresh ended; zero if none did.
	refreshedAt time.Time
	// refreshing is set between the beginning of a refresh and its end; overfull, where an
	// alarm had no room.
	refreshing, overfull bool
}

type key struct{ condition, branch string }

type known struct {
	mes.Alarm
	round     int
	condition *ua.NodeID
}

// NewTable returns one that knows nothing.
func NewTable() *Table { return &Table{notifiers: map[int]*notifier{}} }

// Begin is the begin of a session: what is known of the notifier's alarms is forgotten. It
// may have changed without a word.
func (t *Table) Begin(of int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notifiers[of] = &notifier{alarms: map[key]*known{}, open: map[key]bool{}}
}

// RefreshStarted notes that the server begins to tell every alarm that there is.
func (t *Table) RefreshStarted(of int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.notifiers[of]; n != nil && !n.refreshing {
		n.round++
		n.refreshing, n.overfull = true, false
	}
}

// RefreshEnded notes that it has: what was known before and not told is gone.
func (t *Table) RefreshEnded(of int, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.notifiers[of]
	if n == nil || !n.refreshing {
		return
	}
	n.refreshing, n.refreshedAt = false, at
	for k, a := range n.alarms {
		if a.round < n.round {
			delete(n.alarms, k)
		}
	}
}

// Told notes an event: an alarm that is of interest, or is no more.
func (t *Table) Told(of int, e *Event, c Context) {
	if e.ConditionID == nil {
		return
	}
	a := e.alarm(c)
	k := key{a.ConditionID, a.BranchID}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.notifiers[of]
	if n == nil {
		return
	}
	retained := e.Retain == nil || *e.Retain
	if !retained && (e.Active == nil || !*e.Active) {
		delete(n.open, k)
	} else if len(n.open) < maxAlarms {
		n.open[k] = true
	}
	// The order of the words counts, not their times: clocks of devices jump.
	_, isKnown := n.alarms[k]
	switch {
	case !retained:
		delete(n.alarms, k)
	case !isKnown && len(n.alarms) >= maxAlarms:
		n.overfull = true
	default:
		n.alarms[k] = &known{a, n.round, e.ConditionID}
	}
}

// Knows tells whether the condition of an event was told, and has not ended by then.
func (t *Table) Knows(of int, e *Event, c Context) bool {
	if e.ConditionID == nil {
		return false
	}
	a := e.alarm(c)
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.notifiers[of]
	return n != nil && n.open[key{a.ConditionID, a.BranchID}]
}

// alarm is the event as a state of a condition.
func (e *Event) alarm(c Context) mes.Alarm {
	node := func(n *ua.NodeID) string {
		if n == nil {
			return ""
		}
		return nodeText(n, c.Namespaces)
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	a := mes.Alarm{
		SiteID: c.SiteID, MachineID: c.MachineID, ConditionID: node(e.ConditionID), BranchID: node(e.BranchID),
		EventID: IDText(e.ID), EventType: node(e.Type), TypeName: c.TypeName, ConditionName: text(e.ConditionName),
		SourceNode: node(e.SourceNode), SourceName: text(e.SourceName), Message: text(e.Message), Comment: text(e.Comment),
		ClientUserID: text(e.ClientUserID), Time: e.Time, Enabled: e.Enabled, Active: e.Active, Acked: e.Acked, Confirmed: e.Confirmed,
		Quality: e.Quality,
	}
	if e.Severity != nil {
		a.Severity = *e.Severity
	}
	return a
}

// Present lists the alarms that there are, each once, in the order of their conditions.
func (t *Table) Present() mes.Alarms {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := mes.Alarms{Complete: len(t.notifiers) > 0}
	found := map[key]mes.Alarm{}
	for _, n := range t.notifiers {
		if n.refreshedAt.IsZero() || n.overfull {
			all.Complete = false
		}
		if all.RefreshedAt.IsZero() || n.refreshedAt.Before(all.RefreshedAt) {
			all.RefreshedAt = n.refreshedAt
		}
		for k, a := range n.alarms {
			if other, ok := found[k]; !ok || a.Time.After(other.Time) {
				found[k] = a.Alarm
			}
		}
	}
	if !all.Complete {
		all.RefreshedAt = time.Time{}
	}
	for _, a := range found {
		all.Items = append(all.Items, a)
	}
	slices.SortFunc(all.Items, func(a, b mes.Alarm) int {
		return cmp.Or(cmp.Compare(a.ConditionID, b.ConditionID), cmp.Compare(a.BranchID, b.BranchID))
	})
	return all
}

// Find returns the alarms of a condition, its branches included, and its node id in the
// present session; nil if there is none.
func (t *Table) Find(conditionID string) (node *ua.NodeID, alarms []mes.Alarm) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.notifiers {
		for k, a := range n.alarms {
			if k.condition == conditionID {
				node, alarms = a.condition, append(alarms, a.Alarm)
			}
		}
	}
	return node, alarms
}
