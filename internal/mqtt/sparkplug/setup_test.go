package sparkplug_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/sparkplug"
)

// golden are the payloads that an independent encoder wrote (testdata/encode.*).
func golden(t testing.TB, name string) map[string][]byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]string
	if err := json.Unmarshal(raw, &texts); err != nil {
		t.Fatal(err)
	}
	payloads := map[string][]byte{}
	for name, text := range texts {
		if payloads[name], err = hex.DecodeString(text); err != nil {
			t.Fatal(err)
		}
	}
	return payloads
}

// at is the time of the payloads.
var at = time.UnixMilli(1764208800123).UTC()

var config = sparkplug.Config{Connection: "plant", SiteID: "main", NodeMachine: "{node}", DeviceMachine: "{node}.{device}"}

// metric is one of a payload that the tests write; zero fields are left out.
type metric struct {
	name  string
	alias uint64
	kind  sparkplug.DataType
	at    time.Time
	value uint64 // in long_value
	text  []byte // in the field of bytes, if not nil
	field protowire.Number
	null  bool
}

// encode writes a payload; seq below zero is none.
func encode(sent time.Time, seq int, metrics ...metric) []byte {
	var p []byte
	number := func(b []byte, field protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
	}
	if !sent.IsZero() {
		p = number(p, 1, uint64(sent.UnixMilli()))
	}
	for _, m := range metrics {
		var b []byte
		if m.name != "" {
			b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), m.name)
		}
		if m.alias != 0 {
			b = number(b, 2, m.alias)
		}
		if !m.at.IsZero() {
			b = number(b, 3, uint64(m.at.UnixMilli()))
		}
		if m.kind != 0 {
			b = number(b, 4, uint64(m.kind))
		}
		switch {
		case m.null:
			b = number(b, 7, 1)
		case m.text != nil:
			b = protowire.AppendBytes(protowire.AppendTag(b, m.field, protowire.BytesType), m.text)
		default:
			b = number(b, 11, m.value)
		}
		p = protowire.AppendBytes(protowire.AppendTag(p, 2, protowire.BytesType), b)
	}
	if seq >= 0 {
		p = number(p, 3, uint64(seq))
	}
	return p
}

// node plays an edge node to a host.
type node struct {
	t        *testing.T
	host     *sparkplug.Host
	received time.Time
}

func newNode(t *testing.T, cfg sparkplug.Config) *node {
	h := sparkplug.NewHost(cfg)
	h.Connected(false)
	return &node{t: t, host: h, received: at.Add(time.Second)}
}

// send publishes under spBv1.0/g/TYPE/rest.
func (n *node) send(kind sparkplug.MessageType, rest string, payload []byte) sparkplug.Result {
	n.t.Helper()
	return n.publish("spBv1.0/g/"+string(kind)+"/"+rest, payload, false)
}

func (n *node) publish(name string, payload []byte, retained bool) sparkplug.Result {
	n.t.Helper()
	topic, ok := n.host.Matches(name)
	if !ok {
		n.t.Fatalf("the topic %s is not the host's", name)
	}
	return n.host.Receive(sparkplug.Message{Topic: topic, Name: name, Payload: payload, Retained: retained, ReceivedAt: n.received})
}

// told are records in short: machine signal=value, with what is unusual.
func told(records []mes.Record) []string {
	var list []string
	for _, r := range records {
		if r.Fault != nil {
			list = append(list, r.MachineID+" fault: "+r.Fault.Error())
			continue
		}
		s := r.Signals[0]
		text := fmt.Sprintf("%s %s=%s%s", r.MachineID, s.Name, s.Value.AppendJSON(nil), s.Unit)
		switch {
		case r.TimeOrigin == mes.TimeReceipt:
			text += " @receipt"
		case !r.Time.Equal(at):
			text += " @" + r.Time.Sub(at).String()
		}
		if r.StatusCode != 0 {
			text += fmt.Sprintf(" %08X", uint32(r.StatusCode))
		}
		list = append(list, text)
	}
	return list
}

func expect(t *testing.T, r sparkplug.Result, rebirth string, want ...string) {
	t.Helper()
	got := told(r.Records)
	if strings.Join(got, "\n") != strings.Join(want, "\n") || r.Rebirth != rebirth {
		t.Errorf("it says, with the rebirth %q,\n%s\nand not, with %q,\n%s", r.Rebirth, strings.Join(got, "\n"), rebirth, strings.Join(want, "\n"))
	}
}
