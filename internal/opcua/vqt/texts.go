package vqt

import (
	"context"
	"fmt"
	"slices"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"
)

// The properties that name values: of the data type of an enumeration, and of variables
// that are MultiStateDiscrete, MultiStateValueDiscrete or TwoStateDiscrete
// (OPC 10000-8, 5.3.3).
const (
	enumStrings = "EnumStrings"
	enumValues  = "EnumValues"
	trueState   = "TrueState"
	falseState  = "FalseState"
)

// properties reads the properties of nodes that have one of the names. There is a result
// for each node, nil if it has none.
func properties(ctx context.Context, s Server, nodes []*ua.NodeID, names ...string) ([]map[string]any, error) {
	found, err := browse(ctx, s, nodes, id.HasProperty, ua.BrowseDirectionForward)
	if err != nil {
		return nil, err
	}
	type place struct {
		node int
		name string
	}
	var places []place
	var ask []*ua.ReadValueID
	for i := range nodes {
		for _, r := range found[i] {
			n := target(r)
			if n != nil && r.BrowseName != nil && r.BrowseName.NamespaceIndex == 0 && slices.Contains(names, r.BrowseName.Name) {
				places = append(places, place{i, r.BrowseName.Name})
				ask = append(ask, attribute(n, ua.AttributeIDValue))
			}
		}
	}
	answers, err := read(ctx, s, ask)
	if err != nil {
		return nil, err
	}
	all := make([]map[string]any, len(nodes))
	for i, p := range places {
		if all[p.node] == nil {
			all[p.node] = map[string]any{}
		}
		all[p.node][p.name] = good(answers[i])
	}
	return all, nil
}

// askStates reads the names that variables themselves have for their values.
func (t *Types) askStates(ctx context.Context, s Server, variables []*ua.NodeID) error {
	found, err := properties(ctx, s, variables, enumStrings, enumValues, trueState, falseState)
	if err != nil {
		return fmt.Errorf("read the names of states: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, node := range variables {
		if texts := enumTexts(found[i]); len(texts) > 0 {
			v := t.variables[node.String()]
			t.variables[node.String()] = &Variable{types: t, of: &Type{kind: kindEnum, builtin: v.of.builtin, texts: texts}, scalar: v.scalar}
		}
	}
	return nil
}

// enumTexts reads the properties that name values.
func enumTexts(found map[string]any) map[int64]string {
	texts := map[int64]string{}
	for name, x := range found {
		switch x := x.(type) {
		case *ua.LocalizedText:
			addText(texts, map[string]int64{falseState: 0, trueState: 1}[name], "", x)
		case []*ua.LocalizedText:
			for i, text := range x {
				addText(texts, int64(i), "", text)
			}
		case []*ua.ExtensionObject:
			for _, one := range x {
				if one == nil {
					continue
				}
				if v, ok := one.Value.(*ua.EnumValueType); ok && v != nil {
					addText(texts, v.Value, "", v.DisplayName)
				}
			}
		}
	}
	return texts
}

// addText notes the name of a value: the symbolic one, else that for display. What is no
// text is left out.
func addText(texts map[int64]string, value int64, name string, display *ua.LocalizedText) {
	if name == "" && display != nil {
		name = display.Text
	}
	if _, err := text(name); err == nil && name != "" && len(texts) < maxTypes {
		texts[value] = name
	}
}
