package address

import (
	"context"

	"github.com/gopcua/opcua/ua"
)

// Facts are what the attributes of a node say (OPC 10000-3, 5.6.2).
type Facts struct {
	// Status is that of its NodeClass: not OK where there is no such node.
	Status ua.StatusCode
	Class  ua.NodeClass
	// Readable is what UserAccessLevel says; true where it can't be read.
	Readable bool
	// HasRange tells of the property EURange.
	HasRange bool
	Value    *ua.DataValue
}

// currentRead is the bit of an access level (OPC 10000-3, 8.57).
const currentRead = 1

// Facts reads them of each node.
func (w *Walker) Facts(ctx context.Context, nodes []*ua.NodeID) ([]Facts, error) {
	const each = 3
	reads := make([]*ua.ReadValueID, 0, each*len(nodes))
	starts := make([]Start, 0, len(nodes))
	euRange := mustParse(".EURange")
	for _, n := range nodes {
		reads = append(reads, readOf(n, ua.AttributeIDNodeClass), readOf(n, ua.AttributeIDUserAccessLevel), readOf(n, ua.AttributeIDValue))
		starts = append(starts, Start{n, euRange})
	}
	values, err := w.server.readAll(ctx, w.client, reads)
	if err != nil {
		return nil, err
	}
	ranges, _, err := w.follow(ctx, starts, make([]error, len(starts)))
	if err != nil {
		return nil, err
	}
	all := make([]Facts, len(nodes))
	for i := range nodes {
		f := &all[i]
		class, access := values[each*i], values[each*i+1]
		f.Value, f.HasRange = values[each*i+2], len(ranges[i]) > 0
		if class != nil {
			f.Status = class.Status
		}
		switch v := valueOf(class).(type) {
		case int32:
			f.Class = ua.NodeClass(v)
		case uint32:
			f.Class = ua.NodeClass(v)
		}
		level, known := valueOf(access).(byte)
		f.Readable = !known || level&currentRead != 0
	}
	return all, nil
}
