package address

import (
	"context"
	"errors"
	"strconv"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/opcua/browsepath"
)

// enumeration is the last of the built-in data types and of their abstract supertypes:
// what comes after it may be an enumeration of its own (OPC 10000-6, 5.1.2; OPC 10000-3, 8).
const enumeration = 29

// Texts returns, for each variable, the names of its values by their text ("0", "true"):
// of the enumeration that is its data type (EnumStrings, EnumValues; OPC 10000-3, 8.14),
// or of a discrete variable (EnumStrings, EnumValues, TrueState and FalseState; OPC
// 10000-8, 5.3.3). Nil where there are none.
func (w *Walker) Texts(ctx context.Context, variables []*ua.NodeID) ([]map[string]string, error) {
	var reads []*ua.ReadValueID
	for _, v := range variables {
		reads = append(reads, readOf(v, ua.AttributeIDDataType))
	}
	types, err := w.server.readAll(ctx, w.client, reads)
	if err != nil {
		return nil, err
	}
	var starts []Start
	var owner []int
	ask := func(i int, node *ua.NodeID, properties ...string) {
		for _, p := range properties {
			starts, owner = append(starts, Start{node, mustParse("." + p)}), append(owner, i)
		}
	}
	for i, v := range variables {
		ask(i, v, "EnumStrings", "EnumValues", "FalseState", "TrueState")
		if t, ok := valueOf(types[i]).(*ua.NodeID); ok && t != nil && (t.Namespace() != 0 || t.IntID() > enumeration) {
			ask(i, t, "EnumStrings", "EnumValues")
		}
	}
	targets, _, err := w.follow(ctx, starts, make([]error, len(starts)))
	if err != nil {
		return nil, err
	}
	return w.readTexts(ctx, len(variables), starts, owner, targets)
}

func (w *Walker) readTexts(ctx context.Context, n int, starts []Start, owner []int, targets [][]*ua.NodeID) ([]map[string]string, error) {
	var reads []*ua.ReadValueID
	var of []int
	for i, list := range targets {
		if len(list) > 0 {
			reads, of = append(reads, readOf(list[0], ua.AttributeIDValue)), append(of, i)
		}
	}
	values, err := w.server.readAll(ctx, w.client, reads)
	if err != nil {
		return nil, err
	}
	all := make([]map[string]string, n)
	for k, dv := range values {
		i := owner[of[k]]
		if all[i] == nil {
			all[i] = map[string]string{}
		}
		property, _ := starts[of[k]].Elements[0].Plain()
		addTexts(all[i], property, valueOf(dv))
	}
	for i := range all {
		if len(all[i]) == 0 {
			all[i] = nil
		}
	}
	return all, nil
}

func addTexts(into map[string]string, property string, value any) {
	switch v := value.(type) {
	case *ua.LocalizedText:
		switch property {
		case "TrueState":
			into["true"] = v.Text
		case "FalseState":
			into["false"] = v.Text
		}
	case []*ua.LocalizedText:
		for i, text := range v {
			if text != nil && text.Text != "" {
				into[strconv.Itoa(i)] = text.Text
			}
		}
	case []*ua.ExtensionObject:
		for _, x := range v {
			if x == nil {
				continue
			}
			if e, ok := x.Value.(*ua.EnumValueType); ok && e.DisplayName != nil {
				into[strconv.FormatInt(e.Value, 10)] = e.DisplayName.Text
			}
		}
	}
}

// mustParse reads a path that is a constant of the program.
func mustParse(text string) []browsepath.Element {
	p, err := browsepath.Parse(text)
	if err != nil {
		panic(errors.Join(errors.New(text), err))
	}
	return p.Elements
}
