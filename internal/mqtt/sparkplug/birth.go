package sparkplug

import (
	"fmt"
	"strings"
	"time"

	"plantgate/internal/mes"
)

// definition is what a birth says of a metric, and later messages leave out.
type definition struct {
	name string
	kind DataType
	unit string
}

// birth is what a node or a device said of its metrics (6.4.17, 6.4.19).
type birth struct {
	byName  map[string]definition
	byAlias map[uint64]definition
	// at is when it was sent, by the clock of its node; zero if it does not say.
	at      time.Time
	content [16]byte
	// noAliases means that it does not tell what aliases meant when a message was sent.
	noAliases bool
}

// define reads the metrics of a birth that came as raw. It tells what is wrong with them,
// too.
func define(p *Payload, raw []byte) (birth, problems) {
	metrics := p.Metrics
	b := birth{
		byName: make(map[string]definition, len(metrics)), byAlias: make(map[uint64]definition, len(metrics)),
		at: p.Timestamp, content: mes.ContentOf(raw),
	}
	var wrong problems
	twice := map[uint64]bool{}
	for i := range metrics {
		m := &metrics[i]
		if m.Name == "" || len(m.Name) > mes.MaxSignalNameLength || len(m.Unit) > mes.MaxUnitLength {
			continue // which is told of each metric, and would be repeated by each of data
		}
		d := definition{m.Name, m.Type, m.Unit}
		b.byName[m.Name] = d
		if m.Alias == nil {
			continue
		}
		if other, taken := b.byAlias[*m.Alias]; taken && other.name != m.Name {
			wrong.addf("the alias %d is given to %q and to %q", *m.Alias, other.name, m.Name)
			twice[*m.Alias] = true
		}
		b.byAlias[*m.Alias] = d
	}
	for alias := range twice {
		delete(b.byAlias, alias) // it means nothing
	}
	return b, wrong
}

// resolve returns what is known of a metric by itself and by the birth, which may be nil.
// An error says what is missing.
func (b *birth) resolve(m *Metric) (definition, error) {
	d := definition{m.Name, m.Type, m.Unit}
	if d.name == "" && m.Alias == nil {
		return d, fmt.Errorf("a metric has neither name nor alias")
	}
	var born definition
	var known bool
	switch {
	case b == nil:
	case d.name != "":
		born, known = b.byName[d.name]
	default:
		born, known = b.byAlias[*m.Alias]
	}
	if d.name == "" {
		if b != nil && b.noAliases {
			return d, fmt.Errorf("the message was sent again, and was sent before the birth that gives the alias %d now", *m.Alias)
		}
		if !known {
			return d, fmt.Errorf("no birth gives the alias %d", *m.Alias)
		}
		d.name = born.name
	}
	switch {
	case d.kind == Unknown && born.kind == Unknown:
		return d, fmt.Errorf("neither the metric %.300q nor a birth says its type", d.name)
	case d.kind == Unknown:
		d.kind = born.kind
	case m.Name == "" && known && d.kind != born.kind:
		// Under this alias the node means another metric than at its birth.
		return d, fmt.Errorf("the alias %d is of %q with the type %s, not %s", *m.Alias, born.name, born.kind, d.kind)
	}
	if d.unit == "" {
		d.unit = born.unit
	}
	return d, nil
}

// bdSeqName is the metric that tells sessions of a node apart (6.4.17).
const bdSeqName = "bdSeq"

// isSignal tells values of the plant from what runs Sparkplug itself and from what
// describes the node or device (6.4.17, 6.4.19).
func isSignal(name string) bool {
	return name != bdSeqName && !strings.HasPrefix(name, "Node Control/") && !strings.HasPrefix(name, "Device Control/") &&
		!strings.HasPrefix(name, "Properties/")
}

// bdSeq is the number of the session that a birth or a death of a node is of; nil if it
// does not say.
func (p *Payload) bdSeq() *uint64 {
	for i := range p.Metrics {
		m := &p.Metrics[i]
		if m.Name == bdSeqName && !m.Null && (m.value.kind == intValue || m.value.kind == longValue) {
			n := m.value.bits
			return &n
		}
	}
	return nil
}
