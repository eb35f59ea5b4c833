package ingest

import (
	"bytes"
	"strconv"

	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mes"
)

// decodeMappedBatch reads each element of an array as a message.
func (d *JSONDecoder) decodeMappedBatch(src Source, body []byte) []mes.Record {
	batch, fault := d.Open(src, body)
	if fault != nil {
		src = sourceOfBatch(src)
		return []mes.Record{faulty(&src, bytes.TrimPrefix(body, utf8BOM), fault)}
	}
	records, signals := make([]mes.Record, 0, batch.Len()), 0
	for raw := batch.message(); raw != nil; raw = batch.message() {
		made := d.decodeMappedJSON(&batch.src, raw)
		for i := range made {
			signals += len(made[i].Signals)
			batch.told.bound(&made[i])
		}
		if records = append(records, made...); len(records) > d.limits.MaxBatch {
			return []mes.Record{faulty(&batch.src, body, d.tooMany())}
		}
		if signals > maxBatchSignals {
			return []mes.Record{faulty(&batch.src, body, tooManySignals())}
		}
	}
	return records
}

// decodeMappedJSON reads one JSON document.
func (d *JSONDecoder) decodeMappedJSON(src *Source, raw []byte) []mes.Record {
	r := d.readers.Get().(*reader)
	defer d.readers.Put(r)
	defer r.forget()
	n, fault := d.read(r, raw)
	if fault != nil {
		return []mes.Record{faulty(src, raw, fault)}
	}
	m := d.newMapped(src, raw)
	if n.kind == '{' {
		m.payload = raw
	}
	document := &m.mapping.Document
	m.object(&m.first, document, "", "", n)
	for i := range m.mapping.Each {
		m.each(&m.mapping.Each[i], n)
	}
	return m.records()
}

// object reads the members and signals that stand in an object. The header comes with
// what is known from outside, and goes with what the object says.
func (m *mapped) object(h *header, o *mapping.Object, at, key string, n node) {
	for i := range o.Members {
		p := &o.Members[i]
		value, ok := n.find(p.Pointer)
		switch {
		case ok && value.kind != 'n':
			m.member(h, p.Member, at+p.Pointer.Text, value)
		case !p.Optional:
			m.fault(at+p.Pointer.Text, "is required: it is the %s", p.Member)
		}
	}
	if o.Has(mapping.Status) && h.status != "" {
		m.touch(*h)
	}
	for i := range o.Signals {
		m.signal(*h, &o.Signals[i], at, key, n)
	}
}

// signal reads a value, its name, its unit and its quality.
func (m *mapped) signal(h header, s *mapping.Signal, at, key string, n node) {
	value, ok := n.find(s.Pointer)
	if !ok {
		if !s.Optional {
			m.fault(at+s.Pointer.Text, "is required: it is a signal")
		}
		return
	}
	name := s.Name.Expand(m.mapping.Captures, key)
	if s.NamePointer != nil {
		found, _ := n.find(*s.NamePointer)
		if name, ok = word(found); !ok || name == "" {
			m.fault(at+s.NamePointer.Text, "is required: it is the name of the signal")
			return
		}
	}
	code := h.code
	if s.QualityPointer != nil {
		if quality, ok := n.find(*s.QualityPointer); ok && quality.kind != 'n' {
			code = m.quality(at+s.QualityPointer.Text, quality)
		}
	}
	unit := s.Unit
	if s.UnitPointer != nil {
		switch found, ok := n.find(*s.UnitPointer); {
		case !ok || found.kind == 'n':
		case found.kind != '"':
			m.fault(at+s.UnitPointer.Text, "must be the text of a unit, not %s", found.kindName())
		default:
			unit = found.text
		}
	}
	if v, ok := m.value(s, at+s.Pointer.Text, value); ok {
		m.add(h, code, mes.Signal{Name: name, Value: v, Unit: unit})
	}
}

// each reads the elements of what stands at the path.
func (m *mapped) each(e *mapping.Each, n node) {
	// An element with a machine or time of its own is another record than the document,
	// whose status is not its status.
	h := m.first
	if e.Has(mapping.Time) || e.Has(mapping.Machine) || e.Has(mapping.Site) {
		h.status = ""
	}
	m.walk(e, e.Path.Tokens, "", n, func(key, at string, element node) {
		own := h
		if e.Has(mapping.Status) {
			own.status = ""
		}
		m.object(&own, &e.Object, at, key, element)
	})
}

// walk calls fn for every element of the arrays or objects at the path.
func (m *mapped) walk(e *mapping.Each, tokens []string, at string, n node, fn func(key, at string, element node)) {
	for i, token := range tokens {
		if token == mapping.Wildcard {
			m.elements(at, n, func(_, at string, element node) { m.walk(e, tokens[i+1:], at, element, fn) })
			return
		}
		next, ok := n.step(token)
		at += mes.Pointer(token)
		if !ok || next.kind == 'n' {
			if !e.Optional {
				m.fault(at, "is required: it is on the way to %s", e.Path.Text)
			}
			return
		}
		n = next
	}
	m.elements(at, n, fn)
}

func (m *mapped) elements(at string, n node, fn func(key, at string, element node)) {
	switch n.kind {
	case '[':
		for i := range n.items {
			key := strconv.Itoa(i)
			fn(key, at+"/"+key, n.items[i])
		}
	case '{':
		for i := range n.members {
			fn(n.members[i].name, at+mes.Pointer(n.members[i].name), n.members[i].value)
		}
	default:
		m.fault(at, "must be an array or an object, not %s", n.kindName())
	}
}

// find returns what a pointer points to.
func (n node) find(p mapping.Pointer) (node, bool) {
	for _, token := range p.Tokens {
		var ok bool
		if n, ok = n.step(token); !ok {
			return node{}, false
		}
	}
	return n, true
}

// step goes one level down: into a member, or an element of an array, whose index has no
// leading zeros (RFC 6901, 4).
func (n node) step(token string) (node, bool) {
	switch n.kind {
	case '{':
		return n.member(token)
	case '[':
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= len(n.items) || strconv.Itoa(i) != token {
			return node{}, false
		}
		return n.items[i], true
	}
	return node{}, false
}
