package sparkplug_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/sparkplug"
)

// again plays a message that the broker sends again.
func (n *node) again(kind sparkplug.MessageType, rest string, payload []byte) sparkplug.Result {
	n.t.Helper()
	name := "spBv1.0/g/" + string(kind) + "/" + rest
	topic, _ := n.host.Matches(name)
	return n.host.Receive(sparkplug.Message{Topic: topic, Name: name, Payload: payload, ReceivedAt: n.received, Again: true})
}

// named is a birth that gives the alias 1.
func named(name string, sent time.Time) []byte {
	return encode(sent, 0, bdSeq(1), metric{name: name, alias: 1, kind: sparkplug.Int16, value: 10})
}

// TestDataSentAgain: an alias is not read by a birth that is younger than the data.
func TestDataSentAgain(t *testing.T) {
	n := newNode(t, config)
	n.send("NBIRTH", "n", named("temp", at))
	n.send("NBIRTH", "n", named("press", at.Add(time.Second)))
	const unknown = "n fault: the message was sent again, and was sent before the birth that gives the alias 1 now"
	expect(t, n.again("NDATA", "n", encode(at, 9, speed(5), metric{name: "press", value: 6})), "", "n press=6", unknown)
	expect(t, n.again("NDATA", "n", encode(at.Add(time.Second), 9, speed(5))), "", unknown) // in the millisecond of the birth
	expect(t, n.again("NDATA", "n", encode(time.Time{}, 9, speed(5))), "", unknown)
	expect(t, n.again("NDATA", "n", encode(at.Add(2*time.Second), 9, speed(5))), "", "n press=5 @2s")
	// What comes again does not count among what comes now.
	expect(t, n.send("NDATA", "n", encode(at, 1, speed(5))), "", "n press=5")
	n.send("NBIRTH", "n", named("press", time.Time{}))
	expect(t, n.again("NDATA", "n", encode(at.Add(time.Hour), 9, speed(5))), "", unknown)
	// Devices, too.
	n.send("DBIRTH", "n/d", named("load", at.Add(time.Second)))
	expect(t, n.again("DDATA", "n/d", encode(at, 9, speed(5))), "", strings.Replace(unknown, "n ", "n.d ", 1))
}

// TestBirthsAndDeathsSentAgain: what is older than what is known changes nothing.
func TestBirthsAndDeathsSentAgain(t *testing.T) {
	n := newNode(t, config)
	first, second := named("temp", at), named("press", at.Add(time.Second))
	n.send("NBIRTH", "n", first)
	n.send("NBIRTH", "n", second)
	n.send("DBIRTH", "n/d", named("load", at.Add(2*time.Second)))
	for name, birth := range map[string][]byte{"temp": first, "press": second} {
		r := n.again("NBIRTH", "n", birth)
		if got := told(r.Records); len(got) != 1 || !strings.HasPrefix(got[0], "n "+name+"=10") || !r.Keep.IsEmpty() || r.Mark != nil || r.Born {
			t.Errorf("the birth of %s became %q, %+v", name, got, r)
		}
	}
	expect(t, n.again("DDEATH", "n/d", encode(at, 3)), "")
	expect(t, n.again("DBIRTH", "n/d", named("old", at)), "", "n.d old=10")
	expect(t, n.send("DDATA", "n/d", encode(at, 1, speed(1))), "", "n.d load=1")
	expect(t, n.send("NDATA", "n", encode(at, 2, speed(2))), "", "n press=2")

	// One that is younger counts, and after one that does not say no birth does.
	r := n.again("NBIRTH", "n", named("flow", at.Add(time.Hour)))
	if !r.Born || r.Mark == nil {
		t.Errorf("%+v", r)
	}
	expect(t, n.send("NDATA", "n", encode(at, 1, speed(3))), "", "n flow=3")
	expect(t, n.again("NBIRTH", "n", named("level", time.Time{})), "a birth that does not say when it was sent was sent again", "n level=10 @receipt")
	expect(t, n.send("NDATA", "n", encode(at, 2, speed(3))), "no birth of the edge node is known", "n fault: no birth gives the alias 1")
}

// TestBounds: beyond them messages go to quarantine, and what can't be read takes no room.
func TestBounds(t *testing.T) {
	n := newNode(t, config)
	n.send("NBIRTH", "n", birthOf(0))
	n.send("DBIRTH", "n/bad", []byte{0xFF})
	n.publish("spBv1.0/g/DBIRTH/n/retained", birthOf(1), true)
	for i := range 1000 {
		if r := n.send("DDATA", fmt.Sprintf("n/%d", i), encode(at, -1, metric{name: "x", kind: sparkplug.Int8})); r.Records[0].Fault != nil {
			t.Fatalf("the device %d: %v", i, r.Records[0].Fault)
		}
	}
	expect(t, n.send("DBIRTH", "n/more", birthOf(1)), "", "n.more fault: an edge node has at most 1000 devices")
	expect(t, n.send("DDATA", "n/7", encode(at, -1, metric{name: "x", kind: sparkplug.Int8})), "no birth of the device is known", "n.7 x=0")
	for i := range 99 {
		for j := range 1000 {
			n.send("DDEATH", fmt.Sprintf("m%d/%d", i, j), encode(at, -1))
		}
	}
	expect(t, n.send("DBIRTH", "other/d", birthOf(1)), "", "other.d fault: a connection has at most 100000 devices")
	expect(t, n.send("NBIRTH", "other", birthOf(1)), "", "other sparkplug.online=true @receipt", "other speed=10")
}

// TestOwners: only who was understood has a machine, and has it after a restart.
func TestOwners(t *testing.T) {
	cfg := config
	cfg.DeviceMachine = "{device}"
	n := newNode(t, cfg)
	n.send("DBIRTH", "a/press", []byte{0xFF})
	n.publish("spBv1.0/g/DBIRTH/a/press", birthOf(0), true)
	first := n.send("DBIRTH", "b/press", birthOf(0))
	expect(t, first, "no birth of the edge node is known", "press sparkplug.online=true @receipt", "press speed=10")
	n.host = sparkplug.NewHost(cfg)
	if unread, dead := n.host.Load([]mes.SparkplugBirth{*first.Keep.Put}, []mes.Delivery{first.Mark.Delivery("plant", 1)}); len(unread)+len(dead) > 0 {
		t.Error(unread, dead)
	}
	n.host.Connected(true)
	expect(t, n.send("DBIRTH", "a/press", birthOf(0)), "",
		`press fault: the machine "press" is g/b/press already: the texts node_machine and device_machine of the connection must tell them apart`)
}

// TestLoadByMarks: a birth counts if it is the one that was noted last, after its node's.
func TestLoadByMarks(t *testing.T) {
	birth := func(address, name string) mes.SparkplugBirth {
		return mes.SparkplugBirth{Address: address, Payload: named(name, at), ReceivedAt: at}
	}
	mark := func(number int64, address, name string) mes.Delivery {
		if name != "" {
			m := sparkplug.Mark{Address: address, Content: mes.ContentOf(named(name, at))}
			return m.Delivery("plant", number)
		}
		node, device, _ := strings.Cut(strings.TrimPrefix(address, "g/"), "/")
		n, kind := newNode(t, config), sparkplug.NDeath
		if device != "" {
			node, kind = node+"/"+device, sparkplug.DDeath
		}
		mark := n.send(kind, node, encode(at, -1)).Mark.Delivery("plant", number)
		if mark.Content == [16]byte{} {
			t.Error("a death is noted as what stores take for nothing")
		}
		return mark
	}
	births := []mes.SparkplugBirth{birth("g/n", "temp"), birth("g/n/d", "load")}
	const node, device = "n temp=1", "n.d load=1"
	const noNode, noDevice = "n fault: no birth gives the alias 1", "n.d fault: no birth gives the alias 1"
	for name, c := range map[string]struct {
		marks      []mes.Delivery
		want, dead string
		asked      int
		online     bool // is told anew at the next birth
	}{
		"as noted":           {[]mes.Delivery{mark(1, "g/n", "temp"), mark(2, "g/n/d", "load")}, node + ", " + device, "[]", 1, false},
		"nothing is noted":   {nil, noNode + ", " + noDevice, "[]", 1, true},
		"another":            {[]mes.Delivery{mark(1, "g/n", "press"), mark(2, "g/n/d", "load")}, noNode + ", " + device, "[]", 1, true},
		"the node since":     {[]mes.Delivery{mark(2, "g/n", "temp"), mark(1, "g/n/d", "load")}, node + ", " + noDevice, "[]", 1, false},
		"the node died":      {[]mes.Delivery{mark(2, "g/n", ""), mark(1, "g/n/d", "load")}, noNode + ", " + noDevice, "[g/n g/n/d]", 0, true},
		"the device died":    {[]mes.Delivery{mark(1, "g/n", "temp"), mark(2, "g/n/d", "")}, node + ", " + noDevice, "[g/n/d]", 1, false},
		"born since a death": {[]mes.Delivery{mark(1, "g/n", ""), mark(2, "g/n/d", "load")}, noNode + ", " + device, "[g/n]", 0, true},
	} {
		n := newNode(t, config)
		n.host = sparkplug.NewHost(config)
		if unread, dead := n.host.Load(births, c.marks); len(unread) > 0 || fmt.Sprint(dead) != c.dead {
			t.Errorf("%s: %v can't be read, %v are dead", name, unread, dead)
		}
		n.host.Connected(true)
		if got := n.host.Unconfirmed(); len(got) != c.asked {
			t.Errorf("%s: %v are to be asked", name, got)
		}
		got := told(append(n.send("NDATA", "n", encode(at, -1, speed(1))).Records, n.send("DDATA", "n/d", encode(at, -1, speed(1))).Records...))
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: the data became %q", name, got)
		}
		if got := told(n.send("NBIRTH", "n", birthOf(0)).Records); strings.HasPrefix(got[0], "n sparkplug.online=true") != c.online {
			t.Errorf("%s: the next birth became %q", name, got)
		}
	}
}
