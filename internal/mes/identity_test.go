package mes_test

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"time"

	"plantgate/internal/mes"
)

func number(t testing.TB, text string) mes.Value {
	t.Helper()
	v, err := mes.Number(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func contract1(t testing.TB) mes.Record {
	return mes.Record{
		SiteID: "main", MachineID: "M001", DataType: mes.Telemetry,
		Time: time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC), TimeOrigin: mes.TimeSource, Status: mes.Running,
		Signals: []mes.Signal{{Name: "temperature", Value: number(t, "72.31")}},
	}
}

func identified(r mes.Record) mes.ID {
	r.Identify(mes.ID{1})
	return r.ID
}

// TestVectors holds the code to the ids that docs/identity.md publishes.
func TestVectors(t *testing.T) {
	t.Parallel()
	sequence := int64(7)
	withAll := contract1(t)
	withAll.Sequence, withAll.StatusCode = &sequence, 0x40000000
	withAll.Signals = []mes.Signal{
		{Name: "a", Value: mes.Value{}}, {Name: "b", Value: mes.Bool(true), Unit: "1"},
		{Name: "c", Value: mes.String("é😀")}, {Name: "d", Value: mes.Array("[1,2]")},
	}
	withMessage := contract1(t)
	withMessage.MessageID = "0001"
	received := contract1(t)
	received.TimeOrigin = mes.TimeReceipt
	vectors := map[string]mes.Record{"flat": contract1(t), "all": withAll, "message": withMessage, "receipt": received}

	published := map[string]string{}
	file, err := os.Open("../../docs/identity.md")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if cells := strings.Split(lines.Text(), "|"); len(cells) == 5 {
			published[strings.TrimSpace(cells[1])] = strings.Trim(cells[3], " `")
		}
	}
	for name, record := range vectors {
		if got := identified(record).String(); got != published[name] {
			t.Errorf("%s: got %s, docs/identity.md has %q", name, got, published[name])
		}
	}
}

func TestIdentityIsOfWhatWasSaid(t *testing.T) {
	t.Parallel()
	base := identified(contract1(t))
	same := map[string]func(*mes.Record){
		"server time":  func(r *mes.Record) { r.ServerTime = time.Now() },
		"receipt":      func(r *mes.Record) { r.ReceivedAt = time.Now() },
		"door":         func(r *mes.Record) { r.Origin = mes.Origin{Door: mes.DoorMQTT, Connection: "x", Address: "y"} },
		"payload":      func(r *mes.Record) { r.Payload = []byte("{ }") },
		"number":       func(r *mes.Record) { r.Signals[0].Value = number(t, "7.2310e1") },
		"server clock": func(r *mes.Record) { r.TimeOrigin = mes.TimeServer },
	}
	for name, change := range same {
		r := contract1(t)
		change(&r)
		if identified(r) != base {
			t.Errorf("%s changes the id", name)
		}
	}
	for way, codes := range map[string][2]mes.StatusCode{"good": {0, 0x401}, "limited": {0x40540500, 0x40540501}} {
		live, history := contract1(t), contract1(t)
		live.StatusCode, history.StatusCode = codes[0], codes[1]
		if identified(live) != identified(history) {
			t.Errorf("%s: what a historian says of its storage changes the id", way)
		}
	}
	sequence := int64(0)
	different := map[string]func(*mes.Record){
		"site":        func(r *mes.Record) { r.SiteID = "pune" },
		"machine":     func(r *mes.Record) { r.MachineID = "M002" },
		"microsecond": func(r *mes.Record) { r.Time = r.Time.Add(time.Microsecond) },
		"data type":   func(r *mes.Record) { r.DataType = mes.State },
		"status":      func(r *mes.Record) { r.Status = mes.Idle },
		"status code": func(r *mes.Record) { r.StatusCode = 1 << 30 },
		"limit bits":  func(r *mes.Record) { r.StatusCode = 0x500 },
		"other info":  func(r *mes.Record) { r.StatusCode = 1 },
		"sequence":    func(r *mes.Record) { r.Sequence = &sequence },
		"name":        func(r *mes.Record) { r.Signals[0].Name = "t" },
		"value":       func(r *mes.Record) { r.Signals[0].Value = number(t, "72.32") },
		"kind":        func(r *mes.Record) { r.Signals[0].Value = mes.String("72.31") },
		"unit":        func(r *mes.Record) { r.Signals[0].Unit = "Cel" },
		"message id":  func(r *mes.Record) { r.MessageID = "1" },
	}
	for name, change := range different {
		r := contract1(t)
		change(&r)
		if identified(r) == base {
			t.Errorf("%s does not change the id", name)
		}
	}
}

func TestIDLeadsWithTheTime(t *testing.T) {
	t.Parallel()
	id := identified(contract1(t))
	ms := int64(0)
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	if want := contract1(t).Time.UnixMilli(); ms != want {
		t.Errorf("the id leads with %d, want %d", ms, want)
	}
	if id[6]>>4 != 8 || id[8]>>6 != 2 {
		t.Errorf("%s is not of version 8", id)
	}
	if parsed, err := mes.ParseID(id.String()); err != nil || parsed != id {
		t.Errorf("%s reads back as %s (%v)", id, parsed, err)
	}
}

func TestReceiptIdentityIsTheReceivers(t *testing.T) {
	t.Parallel()
	a, b := contract1(t), contract1(t)
	a.TimeOrigin, b.TimeOrigin = mes.TimeReceipt, mes.TimeReceipt
	a.Identify(mes.ID{1})
	b.Identify(mes.ID{2})
	if a.ID == b.ID {
		t.Error("two receivers gave the same id")
	}
	later := a
	later.Time = later.Time.Add(time.Second)
	if a.ContentHash() != later.ContentHash() {
		t.Error("the time of receipt enters the content hash")
	}
}
