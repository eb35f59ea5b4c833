package sparkplug

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"plantgate/internal/mes"
)

// maxNesting bounds templates within templates.
const maxNesting = 8

var errDataSet = fmt.Errorf("a data set has at most %d values", maxElements)

// dataSet makes an array of a data set (6.4.14): of each row an object, whose members
// are named by the columns.
func dataSet(b []byte) (mes.Value, error) {
	var columns []string
	var types []uint64
	var rows [][]byte
	err := eachField(b, func(f field) error {
		switch f.number {
		case 2:
			if columns = append(columns, ""); len(columns) > maxElements {
				return errDataSet
			}
			return f.text(&columns[len(columns)-1], "dataset.columns")
		case 3:
			return f.uint32s(&types, "dataset.types")
		case 4:
			if rows = append(rows, f.bytes); len(rows) > maxElements {
				return errDataSet
			}
			return f.is(protowire.BytesType, "dataset.rows")
		}
		return nil
	})
	switch {
	case err != nil:
		return mes.Value{}, err
	case len(columns) != len(types):
		return mes.Value{}, fmt.Errorf("the data set has %d columns and %d types", len(columns), len(types))
	case len(rows)*len(columns) > maxElements:
		return mes.Value{}, errDataSet
	}
	for _, name := range columns {
		if len(name) > mes.MaxSignalNameLength { // it is written with each value
			return mes.Value{}, fmt.Errorf("the name of a column has at most %d bytes", mes.MaxSignalNameLength)
		}
	}
	order := make([]int, len(columns)) // of canonical JSON: members sorted
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(columns[a], columns[b]) })
	for i := 1; i < len(order); i++ {
		if columns[order[i]] == columns[order[i-1]] {
			return mes.Value{}, fmt.Errorf("the data set has two columns %q", columns[order[i]])
		}
	}
	j := []byte{'['}
	for i, row := range rows {
		values, err := rowOf(row, types)
		if err != nil {
			return mes.Value{}, fmt.Errorf("row %d of the data set: %w", i+1, err)
		}
		if i > 0 {
			j = append(j, ',')
		}
		if j = appendRow(j, columns, order, values); len(j) > maxText {
			return mes.Value{}, errValue
		}
	}
	return mes.Array(string(append(j, ']'))), nil
}

func appendRow(j []byte, columns []string, order []int, values []mes.Value) []byte {
	j = append(j, '{')
	for n, i := range order {
		if n > 0 {
			j = append(j, ',')
		}
		name, _ := json.Marshal(columns[i])
		j = append(append(j, name...), ':')
		j = values[i].AppendJSON(j)
	}
	return append(j, '}')
}

// rowOf reads the values of a row; an element without one is null.
func rowOf(b []byte, types []uint64) ([]mes.Value, error) {
	var values []mes.Value
	err := eachField(b, func(f field) error {
		if f.number != 1 {
			return nil
		}
		if err := f.is(protowire.BytesType, "row.elements"); err != nil {
			return err
		}
		if len(values) == len(types) {
			return fmt.Errorf("it has more values than columns")
		}
		var s scalar
		err := eachField(f.bytes, func(f field) error {
			if f.number >= 1 && f.number <= protowire.Number(stringValue) {
				return s.setKind(f, kind(f.number))
			}
			return nil
		})
		if err != nil {
			return err
		}
		var v mes.Value
		if s.kind != noValue {
			if v, err = toValue(DataType(types[len(values)]), s); err != nil {
				return err
			}
		}
		values = append(values, v)
		return nil
	})
	if err == nil && len(values) != len(types) {
		err = fmt.Errorf("it has %d values for %d columns", len(values), len(types))
	}
	return values, err
}

// template is an instance or a definition (6.4.15).
type template struct {
	definition bool
	members    []Metric
	parameters []typed
}

// decodeTemplate reads a template, as far as there is room for its members.
func decodeTemplate(b []byte, room *budget) (template, error) {
	var t template
	err := eachField(b, func(f field) error {
		switch f.number {
		case 2:
			if err := f.is(protowire.BytesType, "template.metrics"); err != nil {
				return err
			}
			if err := room.metric(); err != nil {
				return err
			}
			t.members = append(t.members, Metric{})
			return t.members[len(t.members)-1].decode(f.bytes)
		case 3:
			if err := f.is(protowire.BytesType, "template.parameters"); err != nil {
				return err
			}
			if err := room.metric(); err != nil {
				return err
			}
			p, err := decodeParameter(f.bytes)
			t.parameters = append(t.parameters, p)
			return err
		case 5:
			return f.bool(&t.definition, "template.is_definition")
		}
		return nil
	})
	return t, err
}

func decodeParameter(b []byte) (typed, error) {
	var p typed
	err := eachField(b, func(f field) error {
		switch k := f.number - 2; {
		case f.number == 1:
			return f.text(&p.name, "parameter.name")
		case f.number == 2:
			return f.uint((*uint64)(&p.kind), "parameter.type")
		case k >= 1 && k <= protowire.Number(stringValue):
			return p.value.setKind(f, kind(k))
		}
		return nil
	})
	return p, err
}

// flatten adds the metric, or, of an instance of a template, its members with the names
// template/member, parameters too. A definition says nothing of values and gives none.
// What can't be read of it is told beside the rest; an error is of the whole message.
func (m *making) flatten(name string, metric *Metric, t DataType, unit string, depth int) error {
	if t != Template || metric.Null {
		return m.member(name, metric, t, unit)
	}
	tpl, err := m.instance(name, metric, depth)
	if isSpent(err) {
		return err
	}
	if err != nil {
		m.wrong.addf("the metric %.300q: %w", name, err)
		return nil
	}
	for i := range tpl.parameters {
		p := &tpl.parameters[i]
		one := Metric{Timestamp: metric.Timestamp, Null: p.value.kind == noValue, Quality: metric.Quality, value: p.value}
		if err := m.member(name+"/"+p.name, &one, p.kind, unit); err != nil {
			return err
		}
	}
	for i := range tpl.members {
		inner := &tpl.members[i]
		if inner.Name == "" {
			m.wrong.addf("the metric %.300q: a member of the template has no name", name)
			continue
		}
		if inner.Timestamp.IsZero() {
			inner.Timestamp = metric.Timestamp
		}
		if inner.Quality == nil {
			inner.Quality = metric.Quality
		}
		if err := m.flatten(name+"/"+inner.Name, inner, inner.Type, unit, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// instance is the template that a metric is one of; without members if it is a definition.
func (m *making) instance(name string, metric *Metric, depth int) (template, error) {
	switch {
	case len(name) > mes.MaxSignalNameLength: // each member bears it
		return template{}, errName
	case metric.value.kind != templateValue:
		return template{}, fmt.Errorf("a value of type Template stands in %s", kindNames[metric.value.kind])
	case depth >= maxNesting:
		return template{}, fmt.Errorf("templates are nested deeper than %d", maxNesting)
	}
	t, err := decodeTemplate(metric.value.bytes, &m.budget)
	if err == nil && t.definition {
		t = template{}
	}
	return t, err
}
