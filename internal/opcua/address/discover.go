package address

import (
	"context"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/browsepath"
)

// The companion specifications by which machines are discovered.
const (
	Machinery = "machinery" // OPC 40001-1
	PackML    = "packml"    // OPC 30050
)

// Namespaces of companion specifications.
const (
	machineryURI = "http://opcfoundation.org/UA/Machinery/"
	packMLURI    = "http://opcfoundation.org/UA/PackML/"
)

// Discovered is a variable of a machine whose meaning a companion specification says.
type Discovered struct {
	// Machine is the browse name of the machine.
	Machine string
	Signal  string
	NodeID  *ua.NodeID
	// States are the names of values by their text, for a variable that has the node id
	// of a state; nil for another.
	States map[string]string
	// Status is what values, by their names, say of the machine.
	Status map[string]mes.Status
}

// state is a state of a state machine: its node in the type's namespace.
type state struct {
	id     uint32
	name   string
	status mes.Status // "" where the state says nothing of it
}

// wanted is a variable below a machine: the first of the paths that exists.
type wanted struct {
	signal string
	paths  []string
	states []state
}

// machineryVariables: state and operation mode (OPC 40001-1, 12.2 and 13.2), counters
// (14.2), identification (8.6). A building block stands at the machine, in its folder
// MachineryBuildingBlocks (5.2), or in Monitoring (16.2).
func machineryVariables() []wanted {
	const m, di = "nsu=" + machineryURI + ";", "nsu=http://opcfoundation.org/UA/DI/;"
	blocks := func(before []string, rest string) []string {
		var all []string
		for _, b := range before {
			all = append(all, b+rest)
		}
		return all
	}
	anywhere := []string{"/" + m + "MachineryBuildingBlocks/", "/", "/" + m + "Monitoring/" + m + "Status/"}
	list := []wanted{
		{"MachineryItemState", blocks(anywhere, m+"MachineryItemState/CurrentState/Id"), []state{
			{5005, "NotAvailable", ""}, {5004, "OutOfService", mes.Stopped}, {5007, "NotExecuting", mes.Idle}, {5006, "Executing", mes.Running},
		}},
		{"MachineryOperationMode", blocks(anywhere, m+"MachineryOperationMode/CurrentState/Id"), []state{
			{5024, "None", ""}, {5025, "Maintenance", ""}, {5027, "Setup", ""}, {5026, "Processing", ""},
		}},
	}
	for _, name := range []string{"PowerOnDuration", "OperationDuration", "OperationCycleCounter"} {
		list = append(list, wanted{name, blocks(anywhere[:2], di+"OperationCounters/"+di+name), nil})
	}
	for _, name := range []string{"Manufacturer", "Model", "SerialNumber", "ProductInstanceUri"} {
		list = append(list, wanted{name, blocks(anywhere[:2], di+"Identification/"+di+name), nil})
	}
	return list
}

// packMLVariables: the states of the three state machines (OPC 30050, 6.3.2 and 6.4) and
// variables of Status and Admin (6.3.3, 6.3.4). What is neither producing nor stopped by
// a fault of its own is Idle.
func packMLVariables() []wanted {
	const p = "nsu=" + packMLURI + ";"
	const base, machine = "/" + p + "BaseStateMachine", "/" + p + "MachineState"
	list := []wanted{
		{"BaseState", []string{base + "/CurrentState/Id"}, []state{
			{71, "Cleared", ""}, {61, "Aborting", mes.Stopped}, {62, "Aborted", mes.Stopped},
		}},
		{"MachineState", []string{base + machine + "/CurrentState/Id"}, []state{
			{53, "Stopped", mes.Stopped}, {54, "Stopping", mes.Stopped}, {55, "Clearing", mes.Stopped}, {75, "Running", ""},
		}},
		{"ExecuteState", []string{base + machine + "/" + p + "ExecuteState/CurrentState/Id"}, []state{
			{27, "Resetting", mes.Idle}, {28, "Idle", mes.Idle}, {29, "Starting", mes.Idle},
			{36, "Execute", mes.Running}, {37, "Completing", mes.Running}, {38, "Complete", mes.Idle},
			{30, "Suspending", mes.Idle}, {31, "Suspended", mes.Idle}, {32, "Unsuspending", mes.Idle},
			{33, "Holding", mes.Stopped}, {34, "Held", mes.Stopped}, {35, "Unholding", mes.Stopped},
		}},
	}
	for _, name := range []string{"CurMachSpeed", "MachSpeed", "UnitModeCurrent", "EquipmentBlocked", "EquipmentStarved"} {
		list = append(list, wanted{name, []string{"/" + p + "Status/" + p + name}, nil})
	}
	for _, name := range []string{"AccTimeSinceReset", "MachDesignSpeed"} {
		list = append(list, wanted{name, []string{"/" + p + "Admin/" + p + name}, nil})
	}
	return list
}

// machine is an object that stands for one.
type machine struct {
	node *ua.NodeID
	name string
}

// Discover finds the machines of a companion specification and their variables. It is a
// Fault if there are none.
func (w *Walker) Discover(ctx context.Context, specification string) ([]Discovered, error) {
	var machines []machine
	var uri string
	var variables []wanted
	var err error
	switch specification {
	case Machinery:
		uri, variables = machineryURI, machineryVariables()
		machines, err = w.machinery(ctx)
	case PackML:
		uri, variables = packMLURI, packMLVariables()
		machines, err = w.packML(ctx)
	default:
		return nil, faultf("no companion specification is called %q", specification)
	}
	if err == nil && len(machines) == 0 {
		err = faultf("the server shows no machine of %s", uri)
	}
	if err != nil {
		return nil, err
	}
	return w.variables(ctx, machines, uri, variables)
}

// machinery lists the objects in the folder Machines (OPC 40001-1, 9.2).
func (w *Walker) machinery(ctx context.Context) ([]machine, error) {
	index, err := w.index(browsepath.Namespace{URI: machineryURI})
	if err != nil {
		return nil, err
	}
	const machinesFolder = 1001
	all, err := w.references(ctx, []*ua.NodeID{ua.NewNumericNodeID(index, machinesFolder)}, browsepath.Reference{})
	if err != nil {
		return nil, err
	}
	var list []machine
	for _, ref := range all[0] {
		if ref.NodeClass == ua.NodeClassObject {
			list = append(list, machine{ref.NodeID.NodeID, ref.BrowseName.Name})
		}
	}
	return list, nil
}

// packMLDepth is how many levels below Objects PackML objects are looked for.
const packMLDepth = 6

// packML finds the instances of PackMLBaseObjectType (OPC 30050, 6.3.1) and of its
// subtypes. One that stands below a machine of Machinery belongs to that.
func (w *Walker) packML(ctx context.Context) ([]machine, error) {
	index, err := w.index(browsepath.Namespace{URI: packMLURI})
	if err != nil {
		return nil, err
	}
	const baseObjectType = 6
	base := ua.NewNumericNodeID(index, baseObjectType)
	types := map[string]bool{base.String(): true}
	subtypes, err := w.subtypes(ctx, base, ua.NodeClassObjectType)
	if err != nil {
		return nil, err
	}
	for _, t := range subtypes {
		types[t.NodeID.NodeID.String()] = true
	}
	owners := map[string]string{}
	known, err := w.machinery(ctx)
	if err != nil && !IsFault(err) {
		return nil, err
	}
	for _, m := range known {
		owners[m.node.String()] = m.name
	}
	return w.instances(ctx, types, owners)
}

// instances walks below Objects. Its places have the name of the machine they belong to
// as their capture.
func (w *Walker) instances(ctx context.Context, types map[string]bool, owners map[string]string) ([]machine, error) {
	var list []machine
	front := []machine{{ua.NewNumericNodeID(0, id.ObjectsFolder), ""}} // the name is the owner's
	seen := map[string]bool{}
	for range packMLDepth {
		nodes := make([]*ua.NodeID, len(front))
		for i := range front {
			nodes[i] = front[i].node
		}
		all, err := w.references(ctx, nodes, browsepath.Reference{})
		if err != nil {
			return nil, err
		}
		var next []machine
		for i, refs := range all {
			for _, ref := range refs {
				key := ref.NodeID.NodeID.String()
				if seen[key] || ref.NodeClass != ua.NodeClassObject || isServer(ref.NodeID.NodeID) {
					continue
				}
				seen[key] = true
				owner := front[i].name
				if name := owners[key]; name != "" {
					owner = name
				}
				if ref.TypeDefinition == nil || ref.TypeDefinition.NodeID == nil || !types[ref.TypeDefinition.NodeID.String()] {
					next = append(next, machine{ref.NodeID.NodeID, owner})
					continue
				}
				if owner == "" {
					owner = ref.BrowseName.Name
				}
				list = append(list, machine{ref.NodeID.NodeID, owner})
			}
		}
		front = next
	}
	return list, nil
}

// variables translates the paths of what is wanted of all machines at once.
func (w *Walker) variables(ctx context.Context, machines []machine, uri string, variables []wanted) ([]Discovered, error) {
	var starts []Start
	for _, m := range machines {
		for _, v := range variables {
			for _, p := range v.paths {
				starts = append(starts, Start{m.node, mustParse(p)})
			}
		}
	}
	targets, _, err := w.follow(ctx, starts, make([]error, len(starts)))
	if err != nil {
		return nil, err
	}
	var found []Discovered
	at := 0
	for _, m := range machines {
		for _, v := range variables {
			var node *ua.NodeID
			for range v.paths {
				if node == nil && len(targets[at]) > 0 {
					node = targets[at][0]
				}
				at++
			}
			if node == nil {
				continue
			}
			d := Discovered{Machine: m.name, Signal: v.signal, NodeID: node}
			d.States, d.Status = w.states(uri, v.states)
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		return nil, faultf("%d machines of %s have no variable that is known", len(machines), uri)
	}
	return found, nil
}

// states names the node ids of states as a value has them.
func (w *Walker) states(uri string, states []state) (names map[string]string, status map[string]mes.Status) {
	if len(states) == 0 {
		return nil, nil
	}
	index, err := w.index(browsepath.Namespace{URI: uri})
	if err != nil {
		return nil, nil
	}
	names, status = map[string]string{}, map[string]mes.Status{}
	for _, s := range states {
		node := ua.NewNumericNodeID(index, s.id)
		names[node.String()], names[Text(node, w.namespaces)] = s.name, s.name
		if s.status != "" {
			status[s.name] = s.status
		}
	}
	return names, status
}
