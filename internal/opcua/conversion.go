package opcua

import (
	"maps"
	"strings"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// conversion is what becomes of a node's values.
type conversion struct {
	// status turns the text of a value, or its name, into what the machine is doing.
	status map[string]mes.Status
	// names are those of values by their text: of an enumeration, or of states.
	names map[string]string
	// named means that the name is stored instead of the value.
	named         bool
	scale, offset *mes.Decimal
	role          mes.Role
}

// newConversion takes a node that was checked.
func newConversion(n config.OPCUANode) conversion {
	c := conversion{role: mes.Role(n.Role), status: make(map[string]mes.Status, len(n.Map))}
	for value, status := range n.Map {
		c.status[value] = mes.Status(status)
	}
	c.scale, c.offset = decimal(n.Scale), decimal(n.Offset)
	return c
}

// decimal is nil for "".
func decimal(text string) *mes.Decimal {
	if text == "" {
		return nil
	}
	d, err := mes.ParseDecimal(text)
	if err != nil {
		return nil // config.Validate has refused it
	}
	return &d
}

// wantsNames tells whether the map has keys that only the name of a value can be.
func (c *conversion) wantsNames() bool {
	for key := range maps.Keys(c.status) {
		if _, err := mes.Number(key); err != nil && key != "true" && key != "false" {
			return true
		}
	}
	return false
}

// of returns the value as it is stored, and the status that it means, "" for none. The
// status is that of the value before it is scaled.
func (c *conversion) of(v mes.Value, bad bool) (mes.Value, mes.Status, error) {
	if v.IsNull() {
		return v, "", nil
	}
	text := v.Text()
	name := c.names[text]
	status := c.status[text]
	if status == "" && name != "" {
		status = c.status[name]
	}
	if bad {
		status = ""
	}
	if c.named && name != "" {
		v = mes.String(name)
	}
	v, err := c.scaled(v)
	if err == nil && c.role.IsCounter() && !bad {
		err = mes.CheckCount(v)
	}
	return v, status, err
}

// scaled is value × scale + offset. Not a number stays that, and the infinities are
// infinite all the same.
func (c *conversion) scaled(v mes.Value) (mes.Value, error) {
	if v.Kind() == mes.KindString {
		switch infinite := strings.TrimPrefix(v.Text(), "-"); {
		case v.Text() == "NaN", infinite == "Infinity" && (c.scale == nil || c.scale.Sign() > 0):
			return v, nil
		case infinite == "Infinity" && infinite == v.Text():
			return mes.String("-Infinity"), nil
		case infinite == "Infinity":
			return mes.String("Infinity"), nil
		}
	}
	return v.Scale(c.scale, c.offset)
}
