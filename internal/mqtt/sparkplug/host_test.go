package sparkplug_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/sparkplug"
)

func bdSeq(n uint64) metric { return metric{name: "bdSeq", kind: sparkplug.UInt64, value: n} }

// birthOf is a birth of one metric with an alias.
func birthOf(seq int, more ...metric) []byte {
	return encode(at, seq, append([]metric{{name: "speed", alias: 1, kind: sparkplug.Int16, value: 10}}, more...)...)
}

func speed(v uint64) metric { return metric{alias: 1, value: v} }

// TestLifeOfANode: births, data by alias, a device, deaths, and life again.
func TestLifeOfANode(t *testing.T) {
	n := newNode(t, config)
	expect(t, n.send("NBIRTH", "n", birthOf(0, bdSeq(7), metric{name: "Node Control/Rebirth", kind: sparkplug.Boolean, text: nil, value: 0})),
		"", "n sparkplug.online=true @receipt", "n speed=10")
	expect(t, n.send("DBIRTH", "n/d", birthOf(1)), "", "n.d sparkplug.online=true @receipt", "n.d speed=10")
	expect(t, n.send("NDATA", "n", encode(at.Add(time.Second), 2, speed(0xFFFF))), "", "n speed=-1 @1s")
	expect(t, n.send("DDATA", "n/d", encode(at, 3, metric{alias: 1, value: 12, at: at.Add(2 * time.Second)}, metric{name: "speed", value: 13, at: at.Add(3 * time.Second)})),
		"", "n.d speed=12 @2s", "n.d speed=13 @3s")
	// Without any time, that of receipt counts.
	expect(t, n.send("NDATA", "n", encode(time.Time{}, 4, speed(5))), "", "n speed=5 @receipt")

	death := n.send("DDEATH", "n/d", encode(at, 5))
	expect(t, death, "", "n.d sparkplug.online=false @receipt 80310000")
	if r := death.Records[0]; r.DataType != mes.Event || r.ReceivedAt != n.received || r.SiteID != "main" {
		t.Errorf("%+v", r)
	}
	expect(t, n.send("DDEATH", "n/d", encode(at, 6)), "")
	expect(t, n.send("DBIRTH", "n/d", birthOf(7)), "", "n.d sparkplug.online=true @receipt", "n.d speed=10")

	// A death takes the devices along; it has no sequence number.
	expect(t, n.send("NDEATH", "n", encode(at, -1, bdSeq(7))), "",
		"n sparkplug.online=false @receipt 80310000", "n.d sparkplug.online=false @receipt 80310000")
	expect(t, n.send("NDATA", "n", encode(at, 8, speed(5))), "no birth of the edge node is known", "n fault: no birth gives the alias 1")
	expect(t, n.send("DDATA", "n/d", encode(at, 9, speed(5))), "no birth of the device is known", "n.d fault: no birth gives the alias 1")
	expect(t, n.send("NBIRTH", "n", birthOf(0, bdSeq(8))), "", "n sparkplug.online=true @receipt", "n speed=10")
	expect(t, n.send("DBIRTH", "n/d", birthOf(1)), "", "n.d sparkplug.online=true @receipt", "n.d speed=10")
}

// TestDeathsOfFormerSessions: only the death of the session that is alive is one.
func TestDeathsOfFormerSessions(t *testing.T) {
	n := newNode(t, config)
	n.send("NBIRTH", "n", birthOf(0, bdSeq(1)))
	n.send("NBIRTH", "n", birthOf(0, bdSeq(2)))
	late := n.send("NDEATH", "n", encode(at, -1, bdSeq(1)))
	if expect(t, late, ""); late.Note == "" || !late.Keep.IsEmpty() {
		t.Errorf("%+v", late)
	}
	expect(t, n.send("NDATA", "n", encode(at, 1, speed(1))), "", "n speed=1")
	expect(t, n.send("NDEATH", "n", encode(at, -1, bdSeq(2))), "", "n sparkplug.online=false @receipt 80310000")
	if again := n.send("NDEATH", "n", encode(at, -1, bdSeq(2))); len(again.Records) != 0 || again.Note == "" {
		t.Errorf("%+v", again)
	}
	// Of a node that was never heard of, and without a session.
	expect(t, n.send("NDEATH", "other", encode(at, -1)), "", "other sparkplug.online=false @receipt 80310000")
}

// TestGaps: what comes after a gap is stored, and the node is asked.
func TestGaps(t *testing.T) {
	n := newNode(t, config)
	n.send("NBIRTH", "n", birthOf(0))
	n.send("DBIRTH", "n/d", birthOf(1))
	expect(t, n.send("DDATA", "n/d", encode(at, 3, speed(3))), "the sequence number 3 follows 1", "n.d speed=3")
	expect(t, n.send("NDATA", "n", encode(at, 4, speed(4))), "", "n speed=4")
	expect(t, n.send("NDATA", "n", encode(at, 4, speed(4))), "the sequence number 4 follows 4", "n speed=4")
	// A message without one says nothing of what follows.
	expect(t, n.send("NDATA", "n", encode(at, -1, speed(5))), "", "n speed=5")
	expect(t, n.send("NDATA", "n", encode(at, 9, speed(6))), "", "n speed=6")
	// Nor does one that can't be read.
	n.send("NDATA", "n", []byte{0xFF})
	expect(t, n.send("NDATA", "n", encode(at, 20, speed(7))), "", "n speed=7")
	for seq := 21; seq <= 300; seq++ {
		expect(t, n.send("NDATA", "n", encode(at, seq%256, speed(1))), "", "n speed=1")
	}
}

// TestBirthsRepeatRecords: a value is one record, by birth and by data.
func TestBirthsRepeatRecords(t *testing.T) {
	n := newNode(t, config)
	value := metric{name: "speed", alias: 1, kind: sparkplug.Int16, value: 7, at: at}
	first := n.send("NBIRTH", "n", encode(at.Add(-time.Hour), 0, value, metric{name: "load", alias: 2, kind: sparkplug.Int16, value: 1, at: at}))
	data := n.send("NDATA", "n", encode(at.Add(time.Hour), 1, metric{alias: 1, value: 7, at: at}))
	again := n.send("NBIRTH", "n", encode(at.Add(2*time.Hour), 0, value))
	var ids []mes.ID
	for _, r := range []mes.Record{first.Records[1], data.Records[0], again.Records[0]} {
		r.Identify(mes.NewID())
		ids = append(ids, r.ID)
	}
	if ids[0] != ids[1] || ids[1] != ids[2] {
		t.Errorf("one value has the ids %v", ids)
	}
}

// TestBirthsThatAreWrong: an alias that means two metrics means none, and what is without
// name or type is told; the rest counts.
func TestBirthsThatAreWrong(t *testing.T) {
	n := newNode(t, config)
	expect(t, n.send("NBIRTH", "n", encode(at, 0, metric{name: "a", alias: 1, kind: sparkplug.Int8}, metric{name: "b", alias: 1, kind: sparkplug.Int8},
		metric{alias: 3, kind: sparkplug.Int8}, metric{name: "c", alias: 4}, metric{name: "d", alias: 5, kind: sparkplug.Int8})), "",
		"n sparkplug.online=true @receipt", "n a=0", "n b=0", "n d=0",
		`n fault: the alias 1 is given to "a" and to "b"; no birth gives the alias 3; neither the metric "c" nor a birth says its type`)
	expect(t, n.send("NDATA", "n", encode(at, 1, metric{alias: 1}, metric{alias: 5}, metric{alias: 5, kind: sparkplug.Int16})), "a metric is not as a birth said",
		"n d=0", `n fault: no birth gives the alias 1; the alias 5 is of "d" with the type Int8, not Int16`)
	// An unreadable birth ends the former one.
	if r := n.send("NBIRTH", "n", []byte{0xFF}); r.Rebirth == "" || r.Records[0].Fault == nil {
		t.Errorf("%+v", r)
	}
	expect(t, n.send("NDATA", "n", encode(at, 2, metric{alias: 5})), "no birth of the edge node is known", "n fault: no birth gives the alias 5")
}

// TestWhatSpeaksForItself: names and types in data need no birth.
func TestWhatSpeaksForItself(t *testing.T) {
	n := newNode(t, config)
	expect(t, n.send("DDATA", "n/d", encode(at, 5, metric{name: "x", kind: sparkplug.Int8, value: 0xFE})), "no birth of the device is known", "n.d x=-2")
}

// TestRestart: births that were kept go on, and the nodes are to be asked.
func TestRestart(t *testing.T) {
	n := newNode(t, config)
	kept := map[string]mes.SparkplugBirth{}
	marks := map[string]mes.Delivery{}
	keep := func(r sparkplug.Result) {
		if r.Mark != nil {
			mark := r.Mark.Delivery("plant", int64(len(marks)+1))
			marks[fmt.Sprint(mark.Number)] = mark
		}
		for _, address := range r.Keep.Drop {
			delete(kept, address)
		}
		if p := r.Keep.Put; p != nil {
			kept[p.Address] = *p
		}
	}
	restart := func(keptSession bool) {
		var list []mes.SparkplugBirth
		for _, b := range kept {
			list = append(list, b)
		}
		n.host = sparkplug.NewHost(config)
		if unread, dead := n.host.Load(list, mes.NewestDeliveries(slices.Collect(maps.Values(marks)))); len(unread)+len(dead) > 0 {
			t.Error(unread, dead)
		}
		n.host.Connected(keptSession)
	}
	keep(n.send("NBIRTH", "n", birthOf(0, bdSeq(3))))
	keep(n.send("DBIRTH", "n/d", birthOf(1)))
	keep(n.send("DBIRTH", "n/gone", birthOf(2)))
	keep(n.send("DDEATH", "n/gone", encode(at, 3)))
	if len(kept) != 2 {
		t.Errorf("kept are %v", kept)
	}
	restart(true)
	if got := n.host.Unconfirmed(); !slices.Equal(got, []sparkplug.Node{{Group: "g", ID: "n"}}) {
		t.Errorf("to be asked are %v", got)
	}
	expect(t, n.send("DDATA", "n/d", encode(at, 99, speed(4))), "", "n.d speed=4")
	keep(n.send("NBIRTH", "n", birthOf(0, bdSeq(3))))
	if got := n.host.Unconfirmed(); len(got) != 0 || len(kept) != 1 {
		t.Errorf("to be asked are %v, kept %v", got, kept)
	}
	keep(n.send("DBIRTH", "n/d", birthOf(1)))

	// The broker kept no session: a death may have gone by, and aliases may be others'.
	restart(false)
	expect(t, n.send("DDATA", "n/d", encode(at, 2, speed(4))), "no birth of the device is known", "n.d fault: no birth gives the alias 1")
	expect(t, n.send("NDATA", "n", encode(at, 3, speed(4))), "no birth of the edge node is known", "n fault: no birth gives the alias 1")
	expect(t, n.send("NBIRTH", "n", birthOf(0, bdSeq(4))), "", "n speed=10")
	keep(n.send("NDEATH", "n", encode(at, -1, bdSeq(4))))
	if len(kept) != 0 {
		t.Errorf("after the death are kept %v", kept)
	}
	if unread, _ := n.host.Load([]mes.SparkplugBirth{{Address: "g/other", Payload: []byte{0xFF}}, {Address: "g"}}, nil); len(unread) != 2 {
		t.Error(unread)
	}
}

// TestDevicesThatDoNotComeBack after their node did are gone.
func TestDevicesThatDoNotComeBack(t *testing.T) {
	n := newNode(t, config)
	n.send("NBIRTH", "n", birthOf(0))
	n.send("DBIRTH", "n/back", birthOf(1))
	n.send("DBIRTH", "n/gone", birthOf(2))
	n.send("NBIRTH", "n", birthOf(0))
	n.send("DBIRTH", "n/back", birthOf(1))
	n.received = n.received.Add(29 * time.Second)
	expect(t, n.send("NDATA", "n", encode(at, 2, speed(1))), "", "n speed=1")
	n.received = n.received.Add(time.Second)
	expect(t, n.send("NDATA", "n", encode(at, 3, speed(1))), "", "n speed=1", "n.gone sparkplug.online=false @receipt 80310000")
	expect(t, n.send("NDATA", "n", encode(at, 4, speed(1))), "", "n speed=1")
}

// TestNames: sites by group, machines by text, and never two under one id.
func TestNames(t *testing.T) {
	cfg := config
	cfg.Groups = []string{"Pune", "other"}
	cfg.Sites = map[string]string{"Pune": "pune"}
	cfg.DeviceMachine = "{device}"
	n := newNode(t, cfg)
	if _, ok := n.host.Matches("spBv1.0/third/NBIRTH/n"); ok {
		t.Error("a group that was not asked for")
	}
	if _, ok := n.host.Matches("spBv1.0/Pune/NCMD/n"); ok {
		t.Error("a command is not for a host")
	}
	r := n.publish("spBv1.0/Pune/DBIRTH/a/press", birthOf(0), false)
	expect(t, r, "no birth of the edge node is known", "press sparkplug.online=true @receipt", "press speed=10")
	if r.Records[1].SiteID != "pune" {
		t.Errorf("%+v", r.Records[1])
	}
	expect(t, n.publish("spBv1.0/Pune/DBIRTH/b/press", birthOf(0), false), "",
		`press fault: the machine "press" is Pune/a/press already: the texts node_machine and device_machine of the connection must tell them apart`)
	if r = n.publish("spBv1.0/other/DBIRTH/b/press", birthOf(0), false); r.Records[1].SiteID != "main" || r.Records[1].Fault != nil {
		t.Errorf("%+v", r.Records)
	}
	expect(t, n.publish("spBv1.0/Pune/DBIRTH/a/pr~ess", birthOf(0), false), "", ` fault: the machine id "pr~ess" must be printable and have no '~' or '/'`)
	if r = n.publish("spBv1.0/Pune/DDATA/a/press", encode(at, 1, speed(1)), true); len(r.Records) != 1 || r.Records[0].Fault == nil || r.Rebirth != "" {
		t.Errorf("a retained message became %v", told(r.Records))
	}
}

// TestReplay reads a message of quarantine by the births that are known by then.
func TestReplay(t *testing.T) {
	n := newNode(t, config)
	lost := n.send("NDATA", "n", encode(at, 1, speed(0xFFFE), metric{name: "own", kind: sparkplug.Int8, value: 1}))
	expect(t, lost, "no birth of the edge node is known", "n own=1", "n fault: no birth gives the alias 1")
	born := n.send("NBIRTH", "n", birthOf(0))
	births := birthList{*born.Keep.Put}
	for name, c := range map[string]struct {
		births birthList
		rec    mes.Record
		body   string
		want   []string
	}{
		"known":     {births, lost.Records[1], "", []string{"n speed=-2", "n own=1"}},
		"still not": {nil, lost.Records[1], "", []string{"n own=1", "n fault: no birth gives the alias 1"}},
		"by hand":   {nil, lost.Records[1], ` {"x":1}`, []string{`n next=" {\"x\":1}" @receipt`}},
	} {
		r := sparkplug.Replay{Next: nextDecoder{}, Births: c.births, Connections: map[string]sparkplug.Config{"plant": config}}
		body := c.rec.Payload
		if c.body != "" {
			body = []byte(c.body)
		}
		got := told(r.Decode(sourceOf(c.rec), body))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// What was stored the first time is the same record the second.
	again := (&sparkplug.Replay{Next: nextDecoder{}, Births: births, Connections: map[string]sparkplug.Config{"plant": config}}).Decode(sourceOf(lost.Records[1]), lost.Records[1].Payload)
	a, b := lost.Records[0], again[1]
	a.Identify(mes.NewID())
	b.Identify(mes.NewID())
	if a.ID != b.ID {
		t.Errorf("%s is %s the second time", a.ID, b.ID)
	}
}

// TestSequencesOfAnyKind: whatever an edge node sends, in whatever order, no value goes
// under a name that it was not sent under, and nothing vanishes.
func TestSequencesOfAnyKind(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newNode(t, config)
		aliases := map[uint64]string{} // as the node means them
		alive, seq := false, 0
		for step := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			value := uint64(step + 1)
			switch rapid.SampledFrom([]string{"birth", "data", "data", "data", "death", "late death", "gap", "reconnect"}).Draw(rt, "what") {
			case "birth":
				name := fmt.Sprintf("m%d", step)
				aliases, alive, seq = map[uint64]string{1: name}, true, 0
				n.send("NBIRTH", "n", encode(at, 0, bdSeq(1000), metric{name: name, alias: 1, kind: sparkplug.Int32, value: value}))
			case "death":
				n.send("NDEATH", "n", encode(at, -1, bdSeq(1000)))
				alive = false
			case "late death":
				n.send("NDEATH", "n", encode(at, -1, bdSeq(999)))
			case "gap":
				seq++
			case "reconnect":
				n.host.Connected(rapid.Bool().Draw(rt, "kept"))
			case "data":
				seq = (seq + 1) % 256
				r := n.send("NDATA", "n", encode(at, seq, metric{alias: 1, value: value}))
				got := told(r.Records)
				want := fmt.Sprintf("n %s=%d", aliases[1], value)
				if len(got) != 1 || got[0] != want && !strings.Contains(got[0], "fault") {
					rt.Fatalf("the data became %q, not %q", got, want)
				}
				if !alive && !strings.Contains(got[0], "fault") {
					rt.Fatalf("data of a dead node became %q", got)
				}
			}
		}
	})
}
