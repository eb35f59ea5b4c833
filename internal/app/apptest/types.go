package apptest

import (
	"encoding/json"
	"time"
)

// The types of this file are what clients read of the answers; they are written
// by hand, so that a change of the interface is seen by tests.

// Stored is the answer to a single record.
type Stored struct {
	ID        string
	Status    string
	SiteID    string `json:"site_id"`
	MachineID string `json:"machine_id"`
	Timestamp time.Time
}

// Batch is the answer to many records.
type Batch struct {
	Items []struct {
		Index      int
		StatusCode int `json:"status_code"`
		Status     string
		ID         string
		Error      *Problem
	}
	Summary struct{ Created, Duplicate, Quarantined, Rejected int }
}

// Problem is an error (RFC 9457).
type Problem struct {
	Type, Title, Detail, Instance string
	Status                        int
	RequestID                     string `json:"request_id"`
	Errors                        []struct{ Pointer, Detail string }
}

// Page is a list.
type Page[T any] struct {
	Items      []T
	NextCursor *string `json:"next_cursor"`
}

// Record is one message of one machine.
type Record struct {
	ID              string
	SiteID          string `json:"site_id"`
	MachineID       string `json:"machine_id"`
	DataType        string `json:"data_type"`
	Timestamp       time.Time
	TimestampOrigin string    `json:"timestamp_origin"`
	ServerTimestamp time.Time `json:"server_timestamp"`
	ReceivedAt      time.Time `json:"received_at"`
	Status          string
	StatusCode      uint32 `json:"status_code"`
	Quality         string
	MessageID       string `json:"message_id"`
	Signals         map[string]json.RawMessage
	Units           map[string]string
	Flags           []string
	Source          struct{ Door, Connection, Address string }
}

// Equipment is a site or a machine.
type Equipment struct {
	SiteID         string `json:"site_id"`
	ID             string
	Level          string
	TimeZone       string    `json:"timezone"`
	LastTimestamp  time.Time `json:"last_timestamp"`
	LastReceivedAt time.Time `json:"last_received_at"`
	Sources        []string
}

// Latest is the newest value of a signal.
type Latest struct {
	SiteID     string `json:"site_id"`
	MachineID  string `json:"machine_id"`
	Signal     string
	Value      json.RawMessage
	Unit       string
	Timestamp  time.Time
	StatusCode uint32 `json:"status_code"`
	Stale      bool
	Source     string
	RecordID   string `json:"record_id"`
}

// Quarantined is a message that could not be accepted.
type Quarantined struct {
	ID          string
	State       string
	Source      struct{ Door, Connection, Address string }
	Reason      struct{ Code, Detail string }
	Format      string
	Size        int
	Raw         string
	RawEncoding string `json:"raw_encoding"`
	RecordID    string `json:"record_id"`
}
