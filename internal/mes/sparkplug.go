package mes

import "time"

// SignalSparkplugOnline is the signal that says of a machine whether its Sparkplug edge
// node or device is there. While it is false, values that came by MQTT are stale.
const SignalSparkplugOnline = "sparkplug.online"

// SparkplugBirth is what an edge node or a device said of its metrics at its birth.
type SparkplugBirth struct {
	// Address is group/node or group/node/device.
	Address string
	// Payload is the message as it came.
	Payload    []byte
	ReceivedAt time.Time
}

// SparkplugChange is what a message changes of the births that are known.
type SparkplugChange struct {
	// Put takes the place of the birth of the same address; nil is none.
	Put *SparkplugBirth
	// Drop are addresses whose births do not count any more.
	Drop []string
}

// IsEmpty tells whether nothing changes.
func (c SparkplugChange) IsEmpty() bool { return c.Put == nil && len(c.Drop) == 0 }
