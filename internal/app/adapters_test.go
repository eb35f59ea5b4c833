package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
)

type adapterView struct {
	Door, Name, State string
	Received          int
	Rate              float64
	Lag               *struct {
		LastSeconds float64 `json:"last_seconds"`
		P99Seconds  float64 `json:"p99_seconds"`
	}
	Bindings []struct {
		Name, State string
		Received    int
		Lag         *struct {
			LastSeconds float64 `json:"last_seconds"`
		}
	}
}

// TestAdaptersTellLag: the time from source to commit is told for each door, and in the
// metrics; a connection that is required and down makes the server unready.
func TestAdaptersTellLag(t *testing.T) {
	t.Parallel()
	plc := simulated(t)
	s := apptest.Start(t, subscribed(plc.URL()))
	client := publisher(t, s.BrokerURL, "lagging")
	at := time.Now().Add(-20 * time.Second).UTC().Format(time.RFC3339Nano)
	finished(t, client.Publish("plant/line-1/M7/data", 1, false, fmt.Sprintf(`{"timestamp":%q,"x":1}`, at)))
	var broker, opcua adapterView
	apptest.Eventually(t, "both doors", func() bool {
		for _, a := range apptest.Get[apptest.Page[adapterView]](s.Client, "/api/v1/adapters").Items {
			if a.Door == "mqtt" {
				broker = a
			} else {
				opcua = a
			}
		}
		return broker.Lag != nil && opcua.Lag != nil
	})
	if l := broker.Lag.LastSeconds; l < 20 || l > 60 {
		t.Errorf("a reading of 20 s ago is told as %v s", l)
	}
	if l := opcua.Lag; l.P99Seconds > 19 || opcua.Received == 0 || opcua.Rate == 0 {
		t.Errorf("OPC UA: %+v", opcua)
	}
	for _, b := range broker.Bindings {
		if hit := strings.HasSuffix(b.Name, "{machine}/data"); (b.Lag != nil) != hit || b.State != "granted" {
			t.Errorf("%+v", b)
		}
	}
}

func TestRequiredConnectionThatIsDown(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t, func(c *config.Config) {
		c.MQTT.Connections = []config.MQTTConnection{{Name: "plant", URL: "mqtt://127.0.0.1:1", Required: true, Subscriptions: []config.Subscription{{Topic: "plant/{machine}"}}}}
	})
	s.Do(http.MethodGet, "/readyz", "").Want(http.StatusServiceUnavailable)
	s.Do(http.MethodGet, "/healthz", "").Want(http.StatusOK)
	s.Post(`{"machine_id":"M001","x":1}`).Want(http.StatusCreated)
}
