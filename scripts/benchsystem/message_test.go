package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"
)

type sent struct {
	MachineID   string `json:"machine_id"`
	Timestamp   string
	Temperature float64
	Status      string
}

// body reads a request as a server would.
func body(t *testing.T, m *message) []byte {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(m.bytes)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("X-Api-Key") != "key" {
		t.Fatalf("%v in %s", err, m.bytes)
	}
	return text
}

// Clients share the machines, and of each machine every record is newer than the
// one before.
func TestMessagesAreNewEachTime(t *testing.T) {
	t.Parallel()
	const clients, machines = 3, 10
	last := make(map[string]time.Time)
	var c clock
	for _, records := range []int{1, 25} {
		for client := range clients {
			m := newMessage("host", "key", records, &c, client, clients, machines)
			for range 8 {
				m.renew()
				var list []sent
				text := body(t, m)
				if records == 1 {
					text = slices.Concat([]byte("["), text, []byte("]"))
				}
				if err := json.Unmarshal(text, &list); err != nil || len(list) != records {
					t.Fatalf("%v in %s", err, text)
				}
				for _, s := range list {
					at, err := time.Parse(layout, s.Timestamp)
					if err != nil || !at.After(last[s.MachineID]) || s.Status != "Running" || s.Temperature < 72 || s.Temperature >= 73 {
						t.Fatalf("%v: %+v after %s", err, s, last[s.MachineID])
					}
					last[s.MachineID] = at
				}
			}
		}
	}
	for n := range machines {
		if last[machineID(n)].IsZero() {
			t.Errorf("machine %s sent nothing", machineID(n))
		}
	}
	if len(last) != machines {
		t.Errorf("%d machines sent, want %d", len(last), machines)
	}
}
