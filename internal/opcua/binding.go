package opcua

import (
	"strconv"
	"strings"
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
	nodeID  string
	convert conversion
	// enum is what becomes of an enumeration.
	enum vqt.Enum
	ask  monitoring
	// history is set where what is missed is read from the server's history.
	history bool
}

// bindingOf is what a configured node becomes. A node that is mapped to statuses makes
// State records, every other Telemetry.
func bindingOf(cfg config.OPCUAConnection, m config.OPCUAMachine, n config.OPCUANode, site string) binding {
	b := binding{
		connection: cfg.Name,
		siteID:     site,
		machineID:  m.MachineID,
		dataType:   mes.Telemetry,
		signal:     n.SignalName(),
		unit:       n.Unit,
		nodeID:     n.Address(),
		convert:    newConversion(n),
		enum:       enumForms[n.Enum],
		ask:        newMonitoring(cfg, n),
		history:    cfg.History.Reads(n),
	}
	if len(n.Map) > 0 {
		b.dataType = mes.State
	}
	return b
}

// enumForms are the forms of an enumeration by their name in the configuration.
var enumForms = map[string]vqt.Enum{
	"": vqt.EnumBoth, config.EnumBoth: vqt.EnumBoth, config.EnumNumber: vqt.EnumNumber, config.EnumText: vqt.EnumText,
}

// record turns one changed value into one record; known is what is known of its variable,
// nil if nothing. It is pure: the same DataValue gives the same record, but for ReceivedAt.
//
// The time is the source's, else the server's; where there is neither it stays
// zero with mes.TimeReceipt, and the ingest service stamps it.
func (b *binding) record(dv *ua.DataValue, known *vqt.Variable, receivedAt time.Time) mes.Record {
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
	v, err := vqt.Of(dv, known)
	r.Time, r.TimeOrigin, r.ServerTime, r.StatusCode = v.Time, v.TimeOrigin, v.ServerTime, v.StatusCode
	r.Flags = flagsOf(&v)
	if r.TimeOrigin == mes.TimeSource { // it comes again from history
		r.QuarantineID = b.quarantineID(&r)
	}
	if err == nil {
		r.Signals, err = v.Signals(b.signal, b.unit, b.enum)
	}
	if err != nil {
		r.Fault = mes.Errorf(mes.CodeUnsupported, "node %s: %w", b.nodeID, err)
		r.Payload = vqt.Describe(b.nodeID, dv)
		return r
	}
	value, status, err := b.convert.of(v.Value(), r.StatusCode.Severity() == "bad")
	if err != nil {
		r.Fault = mes.Errorf(mes.CodeInvalid, "node %s: %w", b.nodeID, err)
		r.Payload = vqt.Describe(b.nodeID, dv)
		return r
	}
	for i := range r.Signals {
		if s := &r.Signals[i]; s.Name == b.signal && s.Value == v.Value() {
			s.Value = value
		}
	}
	if text := v.Text(); status == "" && !text.IsNull() {
		status = b.convert.status[text.Text()]
	}
	r.Status = status
	return r
}

// quarantineID is the same for the same value of the node, by whichever way it comes.
func (b *binding) quarantineID(r *mes.Record) mes.ID {
	return mes.DerivedID(r.Time, strings.Join([]string{
		"opcua value", b.connection, b.siteID, b.machineID, b.signal,
		strconv.FormatUint(uint64(r.StatusCode.OfValue()), 16), r.Time.Format(time.RFC3339Nano),
	}, "\x00"))
}

func flagsOf(v *vqt.VQT) (flags []mes.Flag) {
	if v.Overflow {
		flags = append(flags, mes.FlagOverflow)
	}
	if v.SemanticsChanged {
		flags = append(flags, mes.FlagSemanticsChanged)
	}
	if v.StructureChanged {
		flags = append(flags, mes.FlagStructureChanged)
	}
	return flags
}
