package bridge

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/outbox"
)

// layout is how times are printed: UTC, without an offset.
const layout = "2006-01-02 15:04:05.000000"

// change is a value that is news.
type change struct {
	variable Variable
	nodeID   string
	value    mes.Value // null where the status is bad
	at       time.Time
}

// messages are those of a stored batch. A value that is not newer than the last of its
// variable is history, or the same once more: subscribers want to know how things stand.
func (b *Bridge) messages(batch []mes.Record, receipts []mes.Receipt) []outbox.Message {
	var changes []change
	for i := range batch {
		if i < len(receipts) && receipts[i].Status == mes.ReceiptQuarantined || batch[i].Fault != nil {
			continue
		}
		changes = append(changes, b.news(&batch[i])...)
	}
	slices.SortStableFunc(changes, func(x, y change) int { return x.at.Compare(y.at) })
	var list []outbox.Message
	for i, c := range changes {
		list = b.appendVariable(list, c)
		list = b.appendSnapshot(list, c, changes[i+1:])
	}
	return list
}

// news are the values of a record that are newer than the last of their variables.
func (b *Bridge) news(r *mes.Record) []change {
	at := r.Time
	if at.IsZero() {
		at = r.ReceivedAt
	}
	var list []change
	for i, s := range r.Signals {
		if isText(r.Signals, i) {
			continue // subscribers know one value of a node
		}
		v := Variable{r.SiteID, r.MachineID, s.Name}
		if !at.After(b.newest[v]) {
			continue
		}
		b.newest[v] = at
		c := change{variable: v, nodeID: r.Origin.Address, value: s.Value, at: at}
		if r.StatusCode.Severity() == "bad" {
			c.value = mes.Value{}
		}
		list = append(list, c)
	}
	return list
}

// isText tells whether a signal is the text of an enumeration, beside its number.
func isText(signals []mes.Signal, i int) bool {
	number, ok := strings.CutSuffix(signals[i].Name, mes.TextSuffix)
	return ok && slices.ContainsFunc(signals, func(s mes.Signal) bool { return s.Name == number })
}

func (b *Bridge) appendVariable(list []outbox.Message, c change) []outbox.Message {
	if b.settings.Variable == nil {
		return list
	}
	name, err := b.settings.Variable(c.variable.SiteID, c.variable.MachineID)
	if err != nil {
		b.log.Warn("a variable can't be published", "node_id", c.nodeID, "error", err)
		return list
	}
	body, err := json.Marshal(struct {
		NodeID    string    `json:"node_id"`
		Value     mes.Value `json:"value"`
		Timestamp string    `json:"timestamp"`
	}{c.nodeID, c.value, c.at.UTC().Format(layout)})
	if err != nil {
		b.log.Error("a variable has no JSON", "node_id", c.nodeID, "error", err)
		return list
	}
	// A topic of one variable keeps its value by itself; the order of one is what counts.
	key := c.variable.SiteID + "~" + c.variable.MachineID + "/" + c.variable.Signal
	return append(list, b.message(name, "opcua:"+key, body))
}

// appendSnapshot adds a snapshot, unless one of the changes that follow is of the same
// moment and of the same snapshot: then that one makes it.
func (b *Bridge) appendSnapshot(list []outbox.Message, c change, rest []change) []outbox.Message {
	if b.settings.Snapshot == nil {
		return list
	}
	name, err := b.settings.Snapshot(c.variable.SiteID, c.variable.MachineID)
	if err != nil {
		b.log.Warn("a variable can't be published", "node_id", c.nodeID, "error", err)
		return list
	}
	s := b.of(name)
	s.set(c.variable.Signal, c.value)
	for _, next := range rest {
		if !next.at.Equal(c.at) {
			break
		}
		if other, err := b.settings.Snapshot(next.variable.SiteID, next.variable.MachineID); err == nil && other == name {
			return list
		}
	}
	return append(list, b.message(name, "opcua:"+name, s.body(c.at)))
}

func (b *Bridge) message(name, key string, body []byte) outbox.Message {
	now := mes.Micros(b.sender.now())
	m := outbox.Message{
		ID: mes.NewID(), Target: b.settings.Target, Key: key, Topic: name, Payload: body,
		QoS: b.settings.QoS, Retained: b.settings.Retained, CreatedAt: now,
	}
	if b.settings.MaxAge > 0 {
		m.ExpiresAt = now.Add(b.settings.MaxAge)
	}
	return m
}
