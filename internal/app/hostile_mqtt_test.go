package app_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/app/apptest"
)

// A message that can't be accepted is acknowledged and lies in quarantine, byte
// for byte, with the topic that it came by.
func TestHostileMessages(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	client := publisher(t, s.BrokerURL, "hostile")
	var want []string
	send := func(topic, payload string) {
		finished(t, client.Publish(topic, 1, false, payload))
		want = append(want, topic+" "+payload)
	}
	for _, payload := range []string{
		"", " ", "\x00\x01\x02\xff\xfe", "{", "null", "42", `"text"`, "<a/>", "\xff\xfe{\x00", `{"DataType":"Production"}`,
		`{"DataType":"Scrap","Payload":{"MachineID":"M1","Value":1}}`, `{"DataType":"Production","Payload":{"MachineID":"../x","Value":1}}`,
		`{"DataType":"Production","Payload":{"MachineID":"M1","Value":NaN}}`, `{"DataType":"Production","Payload":{"MachineID":"M1","Value":1e999}}`,
		`{"DataType":"Production","Payload":{"MachineID":"M1","MachineID":"M2","Value":1}}`, `{"DataType":"Production","Payload":[]}`,
		`{"DataType":"Production","Payload":{"MachineID":{"$ne":null},"Value":1}}`,
		strings.Repeat("[", 10_000), strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), strings.Repeat("x", 1_000_000),
	} {
		send("mes/production/data", payload)
	}
	send("plant/line-1/a~b~c/data", `{"x":1}`)
	send("plant/line-1/ M1/data", `{"x":1}`)
	send("opc_data/all_variables", `{"timestamp":"2025-11-03 06:45:23","variables":[]}`)
	send("opc_data/my_variable", `{"node_id":"","value":1}`)

	if got := quarantined(s.Client); !slices.Equal(got, want) {
		for i, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("message %d %.100q is not in quarantine", i, w)
			}
		}
		t.Errorf("%d messages in quarantine, want %d", len(got), len(want))
	}
	if records := apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data").Items; len(records) != 0 {
		t.Errorf("accepted: %+v", records)
	}
}

// Every damaged message is either a record or in quarantine: none is lost, and
// none ends the broker.
func TestMutatedMessages(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	client := publisher(t, s.BrokerURL, "mutations")
	seeds := [][]byte{
		[]byte(`{"DataType":"Production","Payload":{"MachineID":"M3","Value":42.31,"Unit":"pcs"}}`),
		[]byte(`{"DataType":"Quality","Payload":{"MachineID":"M4","Value":7}}`),
	}
	rnd := rand.New(rand.NewPCG(20261122, 1883))
	const n = 500
	var tokens []paho.Token
	var sent []string
	for range n {
		body := mutate(rnd, seeds[rnd.IntN(len(seeds))])
		if strings.HasPrefix(strings.TrimSpace(string(body)), "[") {
			continue // a batch, which has an item for each of its members
		}
		tokens = append(tokens, client.Publish("mes/production/data", 1, false, body))
		sent = append(sent, "mes/production/data "+string(body))
	}
	for _, token := range tokens {
		finished(t, token)
	}
	bad := quarantined(s.Client)
	for _, b := range bad {
		if !slices.Contains(sent, b) {
			t.Errorf("%q is in quarantine and was never sent", b)
		}
	}
	good := 0
	for path := "/data?limit=1000"; path != ""; {
		page := apptest.Get[apptest.Page[apptest.Record]](s.Client, path)
		good += len(page.Items)
		path = ""
		if page.NextCursor != nil {
			path = "/data?limit=1000&cursor=" + url.QueryEscape(*page.NextCursor)
		}
	}
	if good+len(bad) != len(sent) || len(bad) < n/2 {
		t.Errorf("of %d messages %d became records and %d are in quarantine", len(sent), good, len(bad))
	}
}

// A packet larger than the broker takes ends its sender's connection and nobody
// else's.
func TestTooLargePacket(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	other := publisher(t, s.BrokerURL, "other")
	client := publisher(t, s.BrokerURL, "too-large")
	client.Publish("mes/production/data", 1, false, strings.Repeat("x", s.Config.MQTT.Broker.MaxPacket+1))
	apptest.Eventually(t, "the end of the sender's connection", func() bool { return !client.IsConnectionOpen() })
	finished(t, other.Publish("plant/line-1/M1/data", 1, false, `{"x":1}`))
	s.Do(http.MethodGet, "/readyz", "").Want(http.StatusOK)
}

// quarantined lists "topic message" of everything in quarantine, oldest first.
func quarantined(c *apptest.Client) []string {
	var list []string
	for path := "/api/v1/quarantine?limit=1000"; path != ""; {
		page := apptest.Get[apptest.Page[apptest.Quarantined]](c, path)
		for _, item := range page.Items {
			full := apptest.Get[apptest.Quarantined](c, "/api/v1/quarantine/"+item.ID)
			if full.RawEncoding == "base64" {
				raw, err := base64.StdEncoding.DecodeString(full.Raw)
				full.Raw = string(raw)
				if err != nil {
					full.Raw = fmt.Sprint(err)
				}
			}
			list = append(list, full.Source.Address+" "+full.Raw)
		}
		path = ""
		if page.NextCursor != nil {
			path = "/api/v1/quarantine?limit=1000&cursor=" + url.QueryEscape(*page.NextCursor)
		}
	}
	return list
}
