package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"plantgate/api"
	"plantgate/internal/mes"
)

func TestFloorMetrics(t *testing.T) {
	t.Parallel()
	buckets := make([]int64, len(mes.LagBounds()))
	for i := range buckets {
		buckets[i] = 2
	}
	buckets[0] = 1
	flow := mes.Flow{Received: 7, Quarantined: 2, InHand: 3, Rate: 1.5, LastMessage: time.Unix(1000, 0), Lag: mes.Lag{Count: 2, Sum: 0.01, Buckets: buckets}}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(&adapterCollector{func() []mes.AdapterStatus {
		return []mes.AdapterStatus{
			{Door: mes.DoorMQTT, Name: "plant", State: mes.AdapterRunning, Since: time.Unix(900, 0), Flow: flow, Reconnects: 1, Repeated: 4, Doubtful: 5, SessionsLost: 6,
				Bindings: []mes.BindingStatus{{Name: "a/{machine}", State: mes.BindingGranted, Since: time.Unix(901, 0), Flow: flow}, {Name: "b/#", State: mes.BindingRefused}}},
			{Door: mes.DoorOPCUA, Name: "plant", State: mes.AdapterBackingOff, GapsOpen: 7, Backfilled: 8, Gaps: 9,
				Sessions: 10, SessionsUp: 11, Nodes: 12, NodesBad: 13,
				Certificates: []mes.CertificateEnd{{Use: mes.CertificateOfServer, NotAfter: time.Unix(2000, 0)}}},
		}
	}})
	// The pedantic registry refuses metrics that don't agree with their description.
	answer := httptest.NewRecorder()
	api.MetricsHandler(r).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	text := answer.Body.String()
	for _, want := range []string{
		`plantgate_binding_in_hand{binding="a/{machine}",connection="plant",door="mqtt"} 3`,
		`plantgate_binding_in_hand{binding="b/#",connection="plant",door="mqtt"} 0`,
		`plantgate_binding_received_total{binding="a/{machine}",connection="plant",door="mqtt"} 7`,
		`plantgate_binding_state{binding="a/{machine}",connection="plant",door="mqtt",state="granted"} 1`,
		`plantgate_binding_state{binding="b/#",connection="plant",door="mqtt",state="refused"} 1`,
		`plantgate_binding_state_since_timestamp_seconds{binding="a/{machine}",connection="plant",door="mqtt"} 901`,
		`plantgate_binding_lag_seconds_bucket{binding="a/{machine}",connection="plant",door="mqtt",le="0.005"} 1`,
		`plantgate_connection_certificate_not_after_timestamp_seconds{certificate="server",connection="plant",door="opcua"} 2000`,
		`plantgate_connection_messages_per_second{connection="plant",door="mqtt"} 1.5`,
		`plantgate_connection_messages_per_second{connection="plant",door="opcua"} 0`,
		`plantgate_connection_quarantined_total{connection="plant",door="mqtt"} 2`,
		`plantgate_connection_last_message_timestamp_seconds{connection="plant",door="mqtt"} 1000`,
		`plantgate_connection_state{connection="plant",door="opcua",state="backing_off"} 1`,
		`plantgate_connection_state_since_timestamp_seconds{connection="plant",door="mqtt"} 900`,
		`plantgate_connection_reconnects_total{connection="plant",door="mqtt"} 1`,
		`plantgate_connection_repeated_total{connection="plant",door="mqtt"} 4`,
		`plantgate_connection_doubtful_total{connection="plant",door="mqtt"} 5`,
		`plantgate_connection_sessions_lost_total{connection="plant",door="mqtt"} 6`,
		`plantgate_connection_gaps_open{connection="plant",door="opcua"} 7`,
		`plantgate_connection_backfilled_total{connection="plant",door="opcua"} 8`,
		`plantgate_connection_gaps_total{connection="plant",door="opcua"} 9`,
		`plantgate_connection_sessions{connection="plant",door="opcua"} 10`,
		`plantgate_connection_sessions_up{connection="plant",door="opcua"} 11`,
		`plantgate_connection_nodes{connection="plant",door="opcua"} 12`,
		`plantgate_connection_nodes_bad{connection="plant",door="opcua"} 13`,
		`plantgate_connection_lag_seconds_bucket{connection="plant",door="mqtt",le="0.005"} 1`,
		`plantgate_connection_lag_seconds_bucket{connection="plant",door="mqtt",le="0.01"} 2`,
		`plantgate_connection_lag_seconds_sum{connection="plant",door="mqtt"} 0.01`,
		`plantgate_connection_lag_seconds_count{connection="plant",door="opcua"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(text, `plantgate_connection_last_message_timestamp_seconds{connection="plant",door="opcua"}`) || t.Failed() {
		t.Errorf("got\n%s", text)
	}
}
