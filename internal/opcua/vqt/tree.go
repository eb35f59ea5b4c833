package vqt

import (
	"fmt"
	"slices"
	"strings"

	"plantgate/internal/mes"
)

// Bounds of one value. What is beyond can't be stored.
const (
	// maxNesting bounds arrays within arrays, structures within structures and Variants
	// within Variants.
	maxNesting = 16
	// maxValues bounds the scalars of one value, so that a few bytes can't mean millions.
	maxValues = 1 << 18
)

// tree is a value as it is stored: a leaf, or the members of a structure.
type tree struct {
	// leaf is a scalar or an array; null of a structure.
	leaf mes.Value
	// text is the name of an enumeration's value; null where it has none.
	text mes.Value
	// named is set of enumerations, which have a text, if only null.
	named bool
	// members are those of a structure, in the order of its definition.
	members []member
	// absent is set of a member without a value: an optional one that is not there, or
	// one of a union that is another now.
	absent bool
}

type member struct {
	name string
	tree tree
}

func leaf(v mes.Value) tree { return tree{leaf: v} }

// isObject tells whether the value is a structure with members.
func (t *tree) isObject() bool { return len(t.members) > 0 }

// Enum says what becomes of an enumeration.
type Enum uint8

// The forms of an enumeration. EnumBoth is the number, and the text as a signal beside it.
const (
	EnumBoth Enum = iota
	EnumNumber
	EnumText
)

// Signals returns the signals of the value, in the order that records need. A scalar or
// an array is one signal of that name; a structure is one for each member, with a dot
// before the member's name. What is not there now is null, so that a signal never shows
// what it was before. An error tells why a structure has no form as signals.
func (q *VQT) Signals(name, unit string, form Enum) ([]mes.Signal, error) {
	var list []mes.Signal
	q.content.flatten(name, unit, form, &list)
	slices.SortFunc(list, func(a, b mes.Signal) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(list); i++ {
		if list[i].Name == list[i-1].Name {
			return nil, fmt.Errorf("the structure has two members that both become the signal %q", list[i].Name)
		}
	}
	return list, nil
}

// String is the value for people: a scalar's text, the JSON of arrays and structures, ""
// for null.
func (q *VQT) String() string {
	if !q.content.isObject() {
		return q.content.leaf.Text()
	}
	return string(q.content.appendJSON(nil))
}

func (t *tree) flatten(name, unit string, form Enum, list *[]mes.Signal) {
	switch {
	case t.isObject():
		for i := range t.members {
			t.members[i].tree.flatten(name+"."+t.members[i].name, unit, form, list)
		}
	case t.named && form == EnumText && !t.text.IsNull():
		*list = append(*list, mes.Signal{Name: name, Value: t.text, Unit: unit})
	default:
		*list = append(*list, mes.Signal{Name: name, Value: t.leaf, Unit: unit})
		if t.named && form == EnumBoth {
			*list = append(*list, mes.Signal{Name: name + mes.TextSuffix, Value: t.text})
		}
	}
}

// appendJSON appends canonical JSON: a structure within an array is an object with its
// members in ascending order of their names; those that are absent are left out.
func (t *tree) appendJSON(b []byte) []byte {
	if !t.isObject() {
		return t.leaf.AppendJSON(b)
	}
	sorted := slices.Clone(t.members)
	slices.SortFunc(sorted, func(a, b member) int { return strings.Compare(a.name, b.name) })
	b = append(b, '{')
	first := true
	for i := range sorted {
		if sorted[i].tree.absent {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = mes.String(sorted[i].name).AppendJSON(b)
		b = append(b, ':')
		b = sorted[i].tree.appendJSON(b)
	}
	return append(b, '}')
}

// arrayOf makes one leaf of the elements of an array of the given dimensions, which are
// nil of an array of one dimension. Their product is the number of the elements.
func arrayOf(elements []tree, dimensions []int) tree {
	if len(dimensions) < 2 {
		dimensions = []int{len(elements)}
	}
	t := leaf(mes.Array(string(appendDimension(nil, elements, dimensions, (*tree).appendJSON))))
	if len(elements) > 0 && elements[0].named {
		t.named = true
		t.text = mes.Array(string(appendDimension(nil, elements, dimensions, func(e *tree, b []byte) []byte { return e.text.AppendJSON(b) })))
	}
	return t
}

func appendDimension(b []byte, elements []tree, dimensions []int, appendOne func(*tree, []byte) []byte) []byte {
	b = append(b, '[')
	part := 1
	for _, d := range dimensions[1:] {
		part *= d
	}
	for i := range dimensions[0] {
		if i > 0 {
			b = append(b, ',')
		}
		if len(dimensions) == 1 {
			b = appendOne(&elements[i], b)
			continue
		}
		b = appendDimension(b, elements[i*part:(i+1)*part], dimensions[1:], appendOne)
	}
	return append(b, ']')
}

// checkDimensions tells what is wrong with the dimensions of an array of n elements.
func checkDimensions(dimensions []int32, n int) ([]int, error) {
	if len(dimensions) > maxNesting {
		return nil, fmt.Errorf("an array of more than %d dimensions can't be stored", maxNesting)
	}
	product, all := int64(1), make([]int, len(dimensions))
	brackets := int64(1)
	for i, d := range dimensions {
		if d < 0 {
			return nil, fmt.Errorf("an array has a dimension of %d", d)
		}
		all[i] = int(d)
		// Neither factor is above 1<<31, so that the product can't overflow.
		if product *= int64(d); product > maxValues {
			return nil, fmt.Errorf("the dimensions %v of an array are more than its %d elements", dimensions, n)
		}
		// A dimension of 0 within large ones would be as many empty brackets.
		if d > 0 && i < len(dimensions)-1 {
			if brackets *= int64(d); brackets > maxValues {
				return nil, fmt.Errorf("an array of dimensions %v can't be stored", dimensions)
			}
		}
	}
	if len(dimensions) > 0 && product != int64(n) {
		return nil, fmt.Errorf("the dimensions %v of an array do not match its %d elements", dimensions, n)
	}
	return all, nil
}
