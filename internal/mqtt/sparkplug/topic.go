package sparkplug

import (
	"fmt"
	"strings"
)

// Namespace is the first level of every topic of Sparkplug B (4.1.1).
const Namespace = "spBv1.0"

// MessageType is the third level of a topic (4.1.3).
type MessageType string

// The message types. Those of nodes have topics of four levels, those of devices five.
const (
	NBirth MessageType = "NBIRTH"
	NDeath MessageType = "NDEATH"
	NData  MessageType = "NDATA"
	NCmd   MessageType = "NCMD"
	DBirth MessageType = "DBIRTH"
	DDeath MessageType = "DDEATH"
	DData  MessageType = "DDATA"
	DCmd   MessageType = "DCMD"
)

// stateLevel is the second level of topics in which host applications tell their state
// (4.2.1).
const stateLevel = "STATE"

// maxAddress bounds group, node and device of a topic together, in bytes: their names are
// the key of a birth in the store.
const maxAddress = 290

// Node names an edge node: its id is unique in its group (4.1.2).
type Node struct{ Group, ID string }

// String returns group/node.
func (n Node) String() string { return n.Group + "/" + n.ID }

// Topic is a topic of an edge node or of a device.
type Topic struct {
	Node Node
	Type MessageType
	// Device is "" in topics of a node.
	Device string
}

// Address returns group/node or group/node/device. None of them has a slash.
func (t Topic) Address() string { return address(t.Node, t.Device) }

func address(n Node, device string) string {
	if device == "" {
		return n.String()
	}
	return n.String() + "/" + device
}

// IsTopic tells whether a topic is in the namespace of Sparkplug B.
func IsTopic(name string) bool { return strings.HasPrefix(name, Namespace+"/") }

// ParseTopic reads spBv1.0/{group}/{type}/{node} and spBv1.0/{group}/{type}/{node}/{device}
// (4.1). An error says what is wrong with it.
func ParseTopic(name string) (Topic, error) {
	levels := strings.Split(name, "/")
	if len(levels) < 4 || levels[0] != Namespace {
		return Topic{}, fmt.Errorf("the topic is not one of %s/{group}/{message type}/{edge node}", Namespace)
	}
	t := Topic{Node: Node{levels[1], levels[3]}, Type: MessageType(levels[2])}
	want := 4
	switch t.Type {
	case NBirth, NDeath, NData, NCmd:
	case DBirth, DDeath, DData, DCmd:
		want = 5
	default:
		return Topic{}, fmt.Errorf("the topic has the message type %q, which Sparkplug B does not have", t.Type)
	}
	if len(levels) != want {
		return Topic{}, fmt.Errorf("a topic of %s has %d levels, not %d", t.Type, want, len(levels))
	}
	if want == 5 {
		t.Device = levels[4]
	}
	if t.Node.Group == "" || t.Node.ID == "" || want == 5 && t.Device == "" {
		return Topic{}, fmt.Errorf("a level of the topic is empty")
	}
	if len(t.Address()) > maxAddress {
		return Topic{}, fmt.Errorf("group, edge node and device have at most %d bytes together", maxAddress)
	}
	return t, nil
}

// StateTopic is where a host application tells whether it is there (4.2.1).
func StateTopic(hostID string) string { return Namespace + "/" + stateLevel + "/" + hostID }

// CommandTopic is where an edge node takes commands (4.1.4).
func CommandTopic(n Node) string {
	return Namespace + "/" + n.Group + "/" + string(NCmd) + "/" + n.ID
}

// Filters are what a host application subscribes to for the groups, without commands,
// which are its own, and without the states of other hosts. No group means every.
func Filters(groups []string) []string {
	if len(groups) == 0 {
		groups = []string{"+"}
	}
	var list []string
	for _, g := range groups {
		for _, t := range []MessageType{NBirth, NData, NDeath} {
			list = append(list, Namespace+"/"+g+"/"+string(t)+"/+")
		}
		for _, t := range []MessageType{DBirth, DData, DDeath} {
			list = append(list, Namespace+"/"+g+"/"+string(t)+"/+/+")
		}
	}
	return list
}
