package sim

import (
	"math"
	"sync"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/ua"

	"plantgate/internal/sim"
)

// The three variables that present scripts subscribe to.
const (
	StoredVariable       = "ns=1;s=Objects/MyFolder/MyStoredVariable"
	SynchronousVariable  = "ns=1;s=Objects/MyFolder/MySynchronousVariable"
	AsynchronousVariable = "ns=1;s=Objects/MyFolder/MyAsynchronousVariable"
)

// Namespace is the URI of the plant's namespace, which has the index 1.
const Namespace = "urn:plantgate:simulated-plant"

// nullFor is how long the asynchronous variable has no value yet, counted from
// the first subscription, so that there is somebody to see it change.
const nullFor = 5 * time.Second

// variable is a node's value with its source time: when it changed.
type variable struct {
	nodeID *ua.NodeID
	value  any // nil is "no value yet"
	time   time.Time
}

// plant is the address space and the machines behind it.
type plant struct {
	now      func() time.Time
	mu       sync.Mutex
	machines []*sim.Machine
	byID     map[string]*variable
	order    []*variable
	started  time.Time
	last     time.Time
	watched  time.Time // the first subscription; zero before
}

func newPlant(now func() time.Time) *plant {
	p := &plant{now: now, byID: map[string]*variable{}, started: now(), last: now()}
	p.machines = []*sim.Machine{sim.Press("PRESS-01", 11), sim.Mill("MILL-01", 12), sim.Oven("OVEN-01", 13)}
	p.set("Objects/MyFolder/MyStoredVariable", int32(29))
	p.set("Objects/MyFolder/MySynchronousVariable", int32(0))
	p.set("Objects/MyFolder/MyAsynchronousVariable", nil)
	p.read()
	return p
}

// addTo makes a folder for each machine and a node for each variable.
func (p *plant) addTo(srv *server.Server) {
	ns := server.NewNodeNameSpace(srv, Namespace)
	root, _ := srv.Namespace(0)
	root.Objects().AddRef(ns.Objects(), server.RefTypeIDOrganizes, true)
	folders := map[string]*server.Node{}
	for _, v := range p.order {
		folder, name := split(v.nodeID.StringID())
		if folders[folder] == nil {
			_, display := split(folder)
			folders[folder] = ns.AddNode(folderNode(ua.NewStringNodeID(ns.ID(), folder), display))
			ns.Objects().AddRef(folders[folder], server.RefTypeIDOrganizes, true)
		}
		node := server.NewVariableNode(v.nodeID, name, func() *ua.DataValue { return p.value(v) })
		node = ns.AddNode(node)
		_ = node.SetAttribute(ua.AttributeIDDataType, server.DataValueFromValue(dataType(v.value)))
		folders[folder].AddRef(node, server.RefTypeIDHasComponent, true)
	}
	addMethod(ns, folders["Objects/MyFolder"])
}

// folderNode makes a folder without references; the library's own points back
// to the Objects folder as if that were its child.
func folderNode(nodeID *ua.NodeID, name string) *server.Node {
	n := server.NewNode(nodeID, nil, nil, nil)
	n.SetNodeClass(ua.NodeClassObject)
	n.SetBrowseName(name)
	n.SetDisplayName(name, "")
	return n
}

// step advances the machines to the present and returns the nodes that changed.
func (p *plant) step() []*ua.NodeID {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	dt := now.Sub(p.last)
	p.last = now
	for _, m := range p.machines {
		m.Step(dt)
	}
	changed := p.read()
	seconds := now.Sub(p.started).Seconds()
	if v := p.set("Objects/MyFolder/MySynchronousVariable", int32(seconds)); v != nil {
		changed = append(changed, v)
	}
	if !p.watched.IsZero() && now.Sub(p.watched) >= nullFor {
		wave := int32(math.Round(50 + 40*math.Sin(seconds/10)))
		if v := p.set("Objects/MyFolder/MyAsynchronousVariable", wave); v != nil {
			changed = append(changed, v)
		}
	}
	return changed
}

// watch notes that somebody subscribes.
func (p *plant) watch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watched.IsZero() {
		p.watched = p.now()
	}
}

// read takes over the readings of every machine.
func (p *plant) read() (changed []*ua.NodeID) {
	for _, m := range p.machines {
		for _, r := range m.Readings() {
			if v := p.set("Plant/"+m.ID()+"/"+r.Name, r.Value); v != nil {
				changed = append(changed, v)
			}
		}
	}
	return changed
}

// set returns the node if its value is a new one.
func (p *plant) set(name string, value any) *ua.NodeID {
	v := p.byID[name]
	if v == nil {
		v = &variable{nodeID: ua.NewStringNodeID(1, name)}
		p.byID[name] = v
		p.order = append(p.order, v)
	} else if v.value == value {
		return nil
	}
	v.value, v.time = value, p.now()
	return v.nodeID
}

func (p *plant) store(value int32) *ua.NodeID {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.byID["Objects/MyFolder/MyStoredVariable"]
	v.value, v.time = value, p.now()
	return v.nodeID
}

// write accepts an integer for the stored variable and nothing else.
func (p *plant) write(w *ua.WriteValue) (ua.StatusCode, *ua.NodeID) {
	if w == nil || w.NodeID == nil || w.AttributeID != ua.AttributeIDValue {
		return ua.StatusBadNotWritable, nil
	}
	switch _, known := p.byID[w.NodeID.StringID()]; {
	case !known || w.NodeID.Namespace() != 1:
		return ua.StatusBadNodeIDUnknown, nil
	case w.NodeID.String() != StoredVariable:
		return ua.StatusBadNotWritable, nil
	case w.Value == nil || w.Value.Value == nil:
		return ua.StatusBadTypeMismatch, nil
	}
	switch v := w.Value.Value.Value().(type) {
	case int16:
		return ua.StatusOK, p.store(int32(v))
	case int32:
		return ua.StatusOK, p.store(v)
	case int64:
		if v < math.MinInt32 || v > math.MaxInt32 {
			return ua.StatusBadOutOfRange, nil
		}
		return ua.StatusOK, p.store(int32(v))
	default:
		return ua.StatusBadTypeMismatch, nil
	}
}

// value is what the server reads: with the time of the change as source time.
func (p *plant) value(v *variable) *ua.DataValue {
	p.mu.Lock()
	defer p.mu.Unlock()
	dv := &ua.DataValue{
		EncodingMask:    ua.DataValueSourceTimestamp | ua.DataValueServerTimestamp,
		SourceTimestamp: v.time,
		ServerTimestamp: p.now(),
	}
	if v.value != nil {
		dv.EncodingMask |= ua.DataValueValue
		dv.Value = ua.MustVariant(v.value)
	}
	return dv
}

func dataType(value any) *ua.NodeID {
	switch value.(type) {
	case float64:
		return ua.NewNumericNodeID(0, id.Double)
	case int64:
		return ua.NewNumericNodeID(0, id.Int64)
	default:
		return ua.NewNumericNodeID(0, id.Int32)
	}
}

// split cuts "Plant/PRESS-01/Force" into folder and name.
func split(path string) (folder, name string) {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i], path[i+1:]
		}
	}
	return "", path
}
