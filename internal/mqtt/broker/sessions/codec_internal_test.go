package sessions

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"
)

func examples() []*entry {
	return []*entry{
		{kind: kindReset},
		{kind: kindSession, session: "c1", user: "u", version: 5, expiry: 1<<32 - 1, next: 70_000},
		{kind: kindEnd, session: "c1"},
		{kind: kindSubscribe, session: "c1", sub: packets.Subscription{Filter: "$share/g/a/#", Qos: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2, Identifier: 7}},
		{kind: kindLeave, session: "c1", sub: packets.Subscription{Filter: "a"}},
		{kind: kindMessage, keeps: true, msg: &Message{
			Topic: "a/b", Payload: []byte{0, 1, 255}, QoS: 2, Retain: true, Origin: "p", PacketID: 65535, Created: 1_700_000_000, Expiry: 1_700_000_100,
			Properties: Properties{ContentType: "t", ResponseTopic: "r", CorrelationData: []byte("c"), HasFormat: true, Format: 1,
				User: []packets.UserProperty{{Key: "k", Val: "v"}}},
		}, targets: []target{{session: "c1", seq: 1, qos: 1}, {session: "c2", seq: 1 << 40, qos: 2, retain: true, received: true, ids: []int{1, 268435455}}}},
		{kind: kindFinished, session: "c1", seqs: []uint64{1, 2, 1 << 63}},
		{kind: kindReceived, session: "c1", seqs: []uint64{9}},
		{kind: kindComplete, session: "c1", id: 1},
		{kind: kindIncoming, session: "c1", id: 65535},
		{kind: kindPart, number: 3},
		{kind: kindWhole, number: 1 << 40},
	}
}

func frameOf(list []*entry) []byte {
	var b []byte
	for _, e := range list {
		b = e.append(b)
	}
	return b
}

func decodeAll(frame []byte) (list []*entry, err error) {
	err = decodeFrame(frame, func(e *entry) error { list = append(list, e); return nil })
	return list, err
}

func TestEntries(t *testing.T) {
	t.Parallel()
	got, err := decodeAll(frameOf(examples()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(examples(), got, cmp.AllowUnexported(entry{}, target{})); diff != "" {
		t.Error(diff)
	}
}

func FuzzEntries(f *testing.F) {
	f.Add(frameOf(examples()))
	for _, e := range examples() {
		f.Add(e.append(nil))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		list, err := decodeAll(frame)
		if err != nil {
			return
		}
		again := frameOf(list)
		if twice, err := decodeAll(again); err != nil || !bytes.Equal(frameOf(twice), again) {
			t.Errorf("%x became %x, which is read differently: %v", frame, again, err)
		}
	})
}

// TestParts: parts count when the last frame has come, whole; those of an attempt that
// was not finished never do, and changes between go on with the state before.
func TestParts(t *testing.T) {
	t.Parallel()
	sub := func(filter string) *entry { return &entry{kind: kindLeave, sub: packets.Subscription{Filter: filter}} }
	var p parts
	var got []string
	frame := func(list ...*entry) error {
		return p.frame(frameOf(list), func(e *entry) error {
			if e.kind == kindReset {
				got = nil
			} else {
				got = append(got, e.sub.Filter)
			}
			return nil
		})
	}
	part := func(n uint64) *entry { return &entry{kind: kindPart, number: n} }
	for _, list := range [][]*entry{
		{part(5), sub("of a state whose begin is gone")},
		{sub("before")},
		{part(0), sub("unfinished")}, {part(1), sub("unfinished")},
		{sub("between")},
		{part(0), sub("a"), sub("b")},
	} {
		if err := frame(list...); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"before", "between"}, got); diff != "" {
		t.Error(diff)
	}
	if err := frame(part(1), sub("c")); err != nil {
		t.Fatal(err)
	}
	if err := frame(&entry{kind: kindWhole, number: 2}, sub("d")); err != nil {
		t.Fatal(err)
	}
	if err := frame(sub("e")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "d", "e"}, got); diff != "" {
		t.Error(diff)
	}
	if err := frame(&entry{kind: kindWhole, number: 1}); err == nil {
		t.Error("a state was taken whose parts are missing")
	}
}
