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

// dataSet makes an array of a data set (6.4.14): of each row an object, whose members
// are named by the columns.
func dataSet(b []byte) (mes.Value, error) {
	var columns []string
	var types []uint64
	var rows [][]byte
	err := eachField(b, func(f field) error {
		switch f.number {
		case 2:
			columns = append(columns, "")
			return f.text(&columns[len(columns)-1], "dataset.columns")
		case 3:
			return f.uint32s(&types, "dataset.types")
		case 4:
			rows = append(rows, f.bytes)
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
		return mes.Value{}, fmt.Errorf("a data set has at most %d values", maxElements)
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

func decodeTemplate(b []byte) (template, error) {
	var t template
	err := eachField(b, func(f field) error {
		switch f.number {
		case 2:
			if err := f.is(protowire.BytesType, "template.metrics"); err != nil {
				return err
			}
			m, err := decodeMetric(f.bytes)
			if t.members = append(t.members, m); err == nil && len(t.members) > maxMetrics {
				err = errTooMany
			}
			return err
		case 3:
			if err := f.is(protowire.BytesType, "template.parameters"); err != nil {
				return err
			}
			p, err := decodeParameter(f.bytes)
			if t.parameters = append(t.parameters, p); err == nil && len(t.parameters) > maxMetrics {
				err = errTooMany
			}
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

// member is a metric with its whole name: of a template's members there are several.
type member struct {
	name   string
	metric Metric
}

// flatten returns the metric, or, of an instance of a template, its members with the
// names template/member, parameters too. A definition says nothing of values and gives
// none.
func flatten(name string, m *Metric, t DataType, depth int) ([]member, error) {
	if len(name) > mes.MaxSignalNameLength { // each member bears it
		return nil, fmt.Errorf("the name of a signal has at most %d bytes", mes.MaxSignalNameLength)
	}
	if t != Template || m.Null {
		one := *m
		one.Type = t
		return []member{{name, one}}, nil
	}
	if m.value.kind != templateValue {
		return nil, fmt.Errorf("a value of type Template stands in %s", kindNames[m.value.kind])
	}
	if depth >= maxNesting {
		return nil, fmt.Errorf("templates are nested deeper than %d", maxNesting)
	}
	tpl, err := decodeTemplate(m.value.bytes)
	if err != nil || tpl.definition {
		return nil, err
	}
	var list []member
	for _, p := range tpl.parameters {
		list = append(list, member{name + "/" + p.name, Metric{
			Timestamp: m.Timestamp, Type: p.kind, Null: p.value.kind == noValue, Quality: m.Quality, value: p.value,
		}})
	}
	for i := range tpl.members {
		inner := &tpl.members[i]
		if inner.Name == "" {
			return nil, fmt.Errorf("a member of the template has no name")
		}
		if inner.Timestamp.IsZero() {
			inner.Timestamp = m.Timestamp
		}
		if inner.Quality == nil {
			inner.Quality = m.Quality
		}
		more, err := flatten(name+"/"+inner.Name, inner, inner.Type, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}
