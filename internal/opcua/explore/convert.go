package explore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gopcua/opcua/ua"
)

// Bounds of what is written.
const (
	maxDimensions = 8
	maxElements   = 65_535
)

// The value ranks of OPC 10000-3, 5.6.2; others are numbers of dimensions.
const (
	rankScalarOrOne = -3
	rankAny         = -2
	rankScalar      = -1
	rankOneOrMore   = 0
)

// Type is what a variable holds, or an argument takes.
type Type struct {
	// Name is the data type's: that of the standard, else its browse name.
	Name string
	// BuiltIn is how it goes over the wire; 0 where it is one of Choices.
	BuiltIn ua.TypeID
	// Choices are the built-in types of an abstract data type.
	Choices []ua.TypeID
	// Rank is the ValueRank; Dimensions are the lengths, 0 where one may be any.
	Rank       int32
	Dimensions []uint32
	// Enum are the values of an enumeration with their texts; nil for others, and where the
	// server does not tell them.
	Enum []EnumValue
	// Unwritable says why values of the type can't be made; "" where they can.
	Unwritable string
	// namespaces are the server's, for node ids.
	namespaces []string
}

// EnumValue is a value of an enumeration.
type EnumValue struct {
	Value int64
	Text  string
}

// String names the type with its dimensions.
func (t Type) String() string {
	switch {
	case t.Rank > 0:
		return t.Name + strings.Repeat("[]", int(min(t.Rank, maxDimensions)))
	case t.Rank == rankOneOrMore:
		return t.Name + "[…]"
	}
	return t.Name
}

// FromJSON makes the value that JSON text stands for. The error says what was expected.
func (t Type) FromJSON(text []byte) (*ua.Variant, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("expected %s: the value is not JSON", t)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("expected %s: something stands after the value", t)
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("expected %s: the value is not UTF-8", t)
	}
	return t.variant(v)
}

// FromText makes a value of what a person types: JSON for arrays, plain text for the rest.
func (t Type) FromText(text string) (*ua.Variant, error) {
	trimmed := strings.TrimSpace(text)
	array := strings.HasPrefix(trimmed, "[") && t.Rank != rankScalar
	localized := strings.HasPrefix(trimmed, "{") && t.BuiltIn == ua.TypeIDLocalizedText
	if t.Rank >= rankOneOrMore || array || localized {
		return t.FromJSON([]byte(text))
	}
	switch t.BuiltIn {
	case ua.TypeIDBoolean, ua.TypeIDSByte, ua.TypeIDByte, ua.TypeIDInt16, ua.TypeIDUint16, ua.TypeIDInt32, ua.TypeIDUint32,
		ua.TypeIDInt64, ua.TypeIDUint64, ua.TypeIDFloat, ua.TypeIDDouble, ua.TypeIDStatusCode:
		if json.Valid([]byte(trimmed)) {
			return t.FromJSON([]byte(trimmed))
		}
		text = trimmed
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("expected %s: the text is not UTF-8", t)
	}
	return t.variant(text)
}

func (t Type) variant(v any) (*ua.Variant, error) {
	if t.Unwritable != "" {
		return nil, fmt.Errorf("a value of %s can't be written: %s", t.Name, t.Unwritable)
	}
	b, ok := builtInOf(t.BuiltIn)
	if !ok {
		return nil, fmt.Errorf("%s is one of several types, and there is no value now that tells which: name one (data_type) of %s", t.Name, t.choices())
	}
	dims, err := dimensionsOf(v)
	if err != nil {
		return nil, fmt.Errorf("expected %s: %w", t, err)
	}
	if err := t.checkDimensions(dims); err != nil {
		return nil, err
	}
	if len(dims) == 0 {
		x, err := t.scalar(v, b)
		if err != nil {
			return nil, err
		}
		return ua.NewVariant(x)
	}
	if b.id == ua.TypeIDByteString {
		return nil, errors.New("arrays of ByteString can't be written: the client library does not encode them")
	}
	array, err := t.array(v, b, len(dims), "")
	if err != nil {
		return nil, err
	}
	return ua.NewVariant(array.Interface())
}

func (t Type) choices() string {
	var names []string
	for _, c := range t.Choices {
		names = append(names, typeIDName(c))
	}
	return strings.Join(names, ", ")
}

// dimensionsOf are the lengths of an array, none of a scalar. All parts of a dimension
// have the same length.
func dimensionsOf(v any) ([]int, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, nil
	}
	total := 1
	var dims []int
	for level := list; ; {
		if len(dims) == maxDimensions {
			return nil, fmt.Errorf("an array has at most %d dimensions", maxDimensions)
		}
		dims = append(dims, len(level))
		if total *= len(level); total > maxElements {
			return nil, fmt.Errorf("an array has at most %d elements", maxElements)
		}
		if len(level) == 0 {
			break
		}
		next, ok := level[0].([]any)
		if !ok {
			break
		}
		level = next
	}
	if len(dims) > 1 && dims[len(dims)-1] == 0 {
		return nil, errors.New("an array of several dimensions must not be empty")
	}
	return dims, nil
}

func (t Type) checkDimensions(dims []int) error {
	n := len(dims)
	fits := t.Rank == rankAny || t.Rank == int32(n) && n > 0 || t.Rank == rankScalar && n == 0 ||
		t.Rank == rankScalarOrOne && n <= 1 || t.Rank == rankOneOrMore && n > 0
	what := "a scalar"
	if n > 0 {
		what = fmt.Sprintf("an array of %d dimensions", n)
		if n == 1 {
			what = "an array"
		}
	}
	if !fits {
		return fmt.Errorf("expected %s, not %s", t.shape(), what)
	}
	for i, length := range dims {
		if i < len(t.Dimensions) && t.Dimensions[i] != 0 && len(t.Dimensions) == n && length > int(t.Dimensions[i]) {
			return fmt.Errorf("expected %s of at most %d elements, not %d", t, t.Dimensions[i], length)
		}
	}
	return nil
}

func (t Type) shape() string {
	switch {
	case t.Rank == rankScalar:
		return "a scalar " + t.Name
	case t.Rank == rankScalarOrOne:
		return "a scalar or an array of " + t.Name
	case t.Rank == rankOneOrMore || t.Rank == 1:
		return "an array of " + t.Name
	}
	return fmt.Sprintf("an array of %d dimensions of %s", t.Rank, t.Name)
}

// array makes the slices that the library encodes.
func (t Type) array(v any, b builtIn, dims int, at string) (reflect.Value, error) {
	element := b.goType
	for i := 1; i < dims; i++ {
		if i == 1 && b.id == ua.TypeIDByte {
			element = reflect.TypeFor[ua.ByteArray]()
			continue
		}
		element = reflect.SliceOf(element)
	}
	whole := reflect.SliceOf(element)
	if dims == 1 && b.id == ua.TypeIDByte {
		whole = reflect.TypeFor[ua.ByteArray]()
	}
	list, ok := v.([]any)
	if !ok {
		return reflect.Value{}, fmt.Errorf("expected %s: element %s is no array, as others are", t, at)
	}
	slice := reflect.MakeSlice(whole, len(list), len(list))
	for i, e := range list {
		place := at + "[" + strconv.Itoa(i) + "]"
		if dims == 1 {
			x, err := t.scalar(e, b)
			if err != nil {
				return reflect.Value{}, fmt.Errorf("element %s: %w", place, err)
			}
			slice.Index(i).Set(reflect.ValueOf(x))
			continue
		}
		if !sameLength(list[0], e) {
			return reflect.Value{}, fmt.Errorf("expected %s: element %s has another length than others", t, place)
		}
		inner, err := t.array(e, b, dims-1, place)
		if err != nil {
			return reflect.Value{}, err
		}
		slice.Index(i).Set(inner)
	}
	return slice, nil
}

// sameLength lets pass what is no array, whose own fault is told.
func sameLength(first, other any) bool {
	a, isArray := first.([]any)
	b, both := other.([]any)
	return !isArray || !both || len(a) == len(b)
}

// scalar makes one value of a built-in type.
func (t Type) scalar(v any, b builtIn) (any, error) {
	if text, ok := v.(string); ok && t.Enum != nil {
		n, err := t.enumValue(text)
		if err != nil {
			return nil, err
		}
		v = n
	}
	x, err := convert(v, b, t.namespaces)
	if err != nil {
		return nil, t.expected(b, v, err)
	}
	if t.Enum != nil {
		return x, t.checkEnum(x)
	}
	return x, nil
}

func (t Type) expected(b builtIn, v any, err error) error {
	name := b.name
	if t.Name != b.name {
		name = t.Name + " (" + b.name + ")"
	}
	if t.Enum != nil {
		return fmt.Errorf("expected %s, %s, not %s", t.Name, t.enumTexts(), found(v))
	}
	if errors.Is(err, errForm) {
		return fmt.Errorf("expected %s, %s, not %s", name, b.expected, found(v))
	}
	return fmt.Errorf("expected %s, %s, not %s: %w", name, b.expected, found(v), err)
}

// found shows a value that was not expected.
func found(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return abbreviate(v.String())
	case string:
		return strconv.Quote(abbreviate(v))
	case []any:
		return "an array"
	default:
		return "an object"
	}
}

func abbreviate(s string) string {
	const most = 40
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// enumValue finds a text, exactly or else whatever the case of its letters.
func (t Type) enumValue(text string) (json.Number, error) {
	var alike []int64
	for _, e := range t.Enum {
		if e.Text == text {
			return json.Number(strconv.FormatInt(e.Value, 10)), nil
		}
		if strings.EqualFold(e.Text, text) {
			alike = append(alike, e.Value)
		}
	}
	if len(alike) == 1 {
		return json.Number(strconv.FormatInt(alike[0], 10)), nil
	}
	return "", fmt.Errorf("expected %s, %s, not %s", t.Name, t.enumTexts(), found(text))
}

func (t Type) checkEnum(x any) error {
	n, ok := x.(int32)
	for _, e := range t.Enum {
		if ok && e.Value == int64(n) {
			return nil
		}
	}
	return fmt.Errorf("expected %s, %s, not %v", t.Name, t.enumTexts(), x)
}

func (t Type) enumTexts() string {
	const most = 20
	var texts []string
	for i, e := range t.Enum {
		if i == most {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, fmt.Sprintf("%s (%d)", e.Text, e.Value))
	}
	return "one of " + strings.Join(texts, ", ")
}
