package opcua

import (
	"cmp"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/vqt"
)

// binding is one configured node and what its values become.
type binding struct {
	connection string
	siteID     string
	machineID  string
	dataType   mes.DataType
	signal     string
	unit       string
	// nodeID is the configured text, with ns= or nsu=.
	nodeID string
	// status turns the text of a value into what the machine is doing.
	status map[string]mes.Status
}

// bindings lists the nodes of a connection. A node that is mapped to statuses
// makes State records, every other Telemetry.
func bindings(cfg config.OPCUAConnection, defaultSite string) []binding {
	var list []binding
	for _, m := range cfg.Machines {
		site := cmp.Or(m.SiteID, cfg.SiteID, defaultSite)
		for _, n := range m.Nodes {
			b := binding{
				connection: cfg.Name,
				siteID:     site,
				machineID:  m.MachineID,
				dataType:   mes.Telemetry,
				signal:     n.SignalName(),
				unit:       n.Unit,
				nodeID:     n.NodeID,
				status:     make(map[string]mes.Status, len(n.Map)),
			}
			for value, status := range n.Map {
				b.status[value] = mes.Status(status)
				b.dataType = mes.State
			}
			list = append(list, b)
		}
	}
	return list
}

// record turns one changed value into one record. It is pure: the same DataValue
// gives the same record, but for ReceivedAt.
//
// The time is the source's, else the server's; where there is neither it stays
// zero with mes.TimeReceipt, and the ingest service stamps it.
func (b *binding) record(dv *ua.DataValue, receivedAt time.Time) mes.Record {
	r := mes.Record{
		SiteID:     b.siteID,
		MachineID:  b.machineID,
		DataType:   b.dataType,
		ReceivedAt: receivedAt,
		Origin: mes.Origin{
			Door:       mes.DoorOPCUA,
			Connection: b.connection,
			Address:    b.nodeID,
			Format:     string(ingest.FormatDataValue),
		},
	}
	v, err := vqt.Of(dv)
	r.Time, r.TimeOrigin, r.ServerTime, r.StatusCode = v.Time, v.TimeOrigin, v.ServerTime, v.StatusCode
	if v.Overflow {
		r.Flags = append(r.Flags, mes.FlagOverflow)
	}
	if err != nil {
		r.Fault = mes.Errorf(mes.CodeUnsupported, "node %s: %w", b.nodeID, err)
		r.Payload = vqt.Describe(b.nodeID, dv)
		return r
	}
	r.Signals = []mes.Signal{{Name: b.signal, Value: v.Value, Unit: b.unit}}
	if r.StatusCode.Severity() != "bad" && !v.Value.IsNull() {
		r.Status = b.status[v.Value.Text()]
	}
	return r
}
