package ingest

import (
	"time"

	"plantgate/internal/ingest/mapping"
	"plantgate/internal/mes"
)

// Source is what a door knows of a message before it is read. What the message
// says itself comes first; Source fills what it leaves out.
type Source struct {
	Origin mes.Origin
	// SiteID and MachineID are of the topic binding or the API key.
	SiteID    string
	MachineID string
	DataType  mes.DataType
	// Zone is the zone of times without an offset; nil is the format's own rule:
	// the site's zone, UTC in snapshots and single OPC UA variables.
	Zone *time.Location
	// ReceivedAt is when the door had the whole message.
	ReceivedAt time.Time
	// Retained marks a retained MQTT message.
	Retained bool
	// Mapping is what the binding says of the payload, with the captured levels of the
	// topic; nil where it says nothing.
	Mapping *mapping.Bound
	// Answerable means that the sender of a single message waits for its fault.
	Answerable bool
}

// Decoder turns the bytes of a message into records. It never fails: what can't
// be read becomes a record with a fault, in its place, so that nothing that
// came is lost. An implementation is pure but for looking up a site's zone.
//
// The texts of a record are parts of one copy of its message: who keeps one for
// longer than the record clones it. The payload is that of the body itself.
type Decoder interface {
	Decode(src Source, body []byte) []mes.Record
}
