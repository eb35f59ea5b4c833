package explore

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/address"
)

// errForm is of a value that has not the form of its type.
var errForm = errors.New("it has another form")

// convert makes a value of a built-in type of what JSON has.
func convert(v any, b builtIn, namespaces []string) (any, error) {
	switch b.id {
	case ua.TypeIDBoolean:
		if x, ok := v.(bool); ok {
			return x, nil
		}
		return nil, errForm
	case ua.TypeIDFloat, ua.TypeIDDouble:
		return float(v, b)
	case ua.TypeIDSByte, ua.TypeIDInt16, ua.TypeIDInt32, ua.TypeIDInt64,
		ua.TypeIDByte, ua.TypeIDUint16, ua.TypeIDUint32, ua.TypeIDUint64, ua.TypeIDStatusCode:
		return whole(v, b)
	case ua.TypeIDLocalizedText:
		return localizedText(v)
	}
	text, ok := v.(string)
	if !ok {
		return nil, errForm
	}
	return fromString(text, b, namespaces)
}

// whole reads an integer, which may be written 29, 29.0 or 2.9e1. Those of 64 bits may
// be texts, as OPC 10000-6, 5.4.2.3 has them.
func whole(v any, b builtIn) (any, error) {
	number, ok := v.(json.Number)
	if text, isText := v.(string); isText && (b.id == ua.TypeIDInt64 || b.id == ua.TypeIDUint64) && json.Valid([]byte(text)) {
		number, ok = json.Number(text), true
	}
	if !ok {
		return nil, errForm
	}
	canonical, err := mes.Number(number.String())
	if err != nil {
		return nil, errForm
	}
	bits := b.goType.Bits()
	x := reflect.New(b.goType).Elem()
	if x.CanInt() {
		n, err := strconv.ParseInt(canonical.Text(), 10, bits)
		if err != nil {
			return nil, errForm
		}
		x.SetInt(n)
		return x.Interface(), nil
	}
	n, err := strconv.ParseUint(canonical.Text(), 10, bits)
	if err != nil {
		return nil, errForm
	}
	x.SetUint(n)
	return x.Interface(), nil
}

func float(v any, b builtIn) (any, error) {
	bits := b.goType.Bits()
	var f float64
	switch v := v.(type) {
	case json.Number:
		var err error
		if f, err = strconv.ParseFloat(v.String(), bits); err != nil {
			return nil, errForm
		}
	case string:
		switch v {
		case "NaN":
			f = math.NaN()
		case "Infinity":
			f = math.Inf(1)
		case "-Infinity":
			f = math.Inf(-1)
		default:
			return nil, errForm
		}
	default:
		return nil, errForm
	}
	if bits == 32 {
		return float32(f), nil
	}
	return f, nil
}

func localizedText(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return &ua.LocalizedText{EncodingMask: ua.LocalizedTextText, Text: v}, nil
	case map[string]any:
		l := &ua.LocalizedText{}
		for name, member := range v {
			text, ok := member.(string)
			switch {
			case !ok:
				return nil, errForm
			case name == "text":
				l.Text, l.EncodingMask = text, l.EncodingMask|ua.LocalizedTextText
			case name == "locale":
				l.Locale, l.EncodingMask = text, l.EncodingMask|ua.LocalizedTextLocale
			default:
				return nil, errForm
			}
		}
		return l, nil
	}
	return nil, errForm
}

// fromString reads the types that are texts in JSON.
func fromString(text string, b builtIn, namespaces []string) (any, error) {
	switch b.id {
	case ua.TypeIDString:
		return text, nil
	case ua.TypeIDXMLElement:
		return ua.XMLElement(text), nil
	case ua.TypeIDByteString:
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errForm
		}
		return raw, nil
	case ua.TypeIDDateTime:
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || t.UTC().Year() < 1601 || t.UTC().Year() > 9999 {
			return nil, errForm
		}
		return t.UTC(), nil
	case ua.TypeIDGUID:
		if raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", "")); err != nil || len(raw) != 16 {
			return nil, errForm
		}
		return ua.NewGUID(text), nil
	case ua.TypeIDQualifiedName:
		return qualifiedName(text), nil
	}
	if err := config.CheckNodeID(text); err != nil {
		return nil, errForm
	}
	n, err := address.Resolve(text, namespaces)
	if err != nil {
		return nil, err
	}
	if b.id == ua.TypeIDExpandedNodeID {
		return ua.NewExpandedNodeID(n, "", 0), nil
	}
	return n, nil
}

// qualifiedName reads 1:Name; a name without an index is of namespace 0.
func qualifiedName(text string) *ua.QualifiedName {
	if index, name, ok := strings.Cut(text, ":"); ok {
		if n, err := strconv.ParseUint(index, 10, 16); err == nil {
			return &ua.QualifiedName{NamespaceIndex: uint16(n), Name: name}
		}
	}
	return &ua.QualifiedName{Name: text}
}
