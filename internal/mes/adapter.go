package mes

import "time"

// AdapterState is where a connection to the floor stands.
type AdapterState string

// The states of a connection.
const (
	AdapterConnecting AdapterState = "connecting"
	AdapterRunning    AdapterState = "running"
	AdapterDegraded   AdapterState = "degraded"
	// AdapterStale: the connection is there, and has not shown for too long that it works.
	AdapterStale      AdapterState = "stale"
	AdapterBackingOff AdapterState = "backing_off"
	AdapterRefused    AdapterState = "refused"
	AdapterStopped    AdapterState = "stopped"
	// AdapterStandby: another server has the connection.
	AdapterStandby AdapterState = "standby"
)

// AdapterStatus is what is known of one MQTT or OPC UA connection.
type AdapterStatus struct {
	Door  Door         `json:"door"`
	Name  string       `json:"name"`
	State AdapterState `json:"state"`
	// Since is when the state began.
	Since time.Time `json:"since"`
	// Detail says why, in words for an operator; no credentials.
	Detail string `json:"detail,omitempty"`
	Flow
	// Reconnects counts since start.
	Reconnects int64 `json:"reconnects"`
	// Repeated counts messages of MQTT without an identity of their own that the broker
	// sent again, and retained ones that are no news: they were stored before. Doubtful
	// counts those of which that can't be known, and which are stored.
	Repeated int64 `json:"repeated,omitempty"`
	Doubtful int64 `json:"doubtful,omitempty"`
	// SessionsLost counts connects at which the broker knew the client no more.
	SessionsLost int64 `json:"sessions_lost,omitempty"`
	// GapsOpen are nodes of OPC UA of which values may be missing that are still looked for
	// in the server's history, Backfilled counts values that were found there, and Gaps the
	// records of what may be lost.
	GapsOpen   int   `json:"gaps_open,omitempty"`
	Backfilled int64 `json:"backfilled,omitempty"`
	Gaps       int64 `json:"gaps,omitempty"`
	// Certificates are those by which an OPC UA connection is made, by use.
	Certificates []CertificateEnd `json:"certificates,omitempty"`
	// Sessions is by how many sessions a connection to an OPC UA server reads its nodes,
	// SessionsUp how many of them bring values; Nodes are those that it reads, NodesBad
	// those of them that the server refuses.
	Sessions   int `json:"sessions,omitempty"`
	SessionsUp int `json:"sessions_up,omitempty"`
	Nodes      int `json:"nodes,omitempty"`
	NodesBad   int `json:"nodes_bad,omitempty"`
	// Bindings are the subscriptions, in configured order.
	Bindings []BindingStatus `json:"bindings,omitempty"`
}
