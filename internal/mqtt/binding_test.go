package mqtt_test

import (
	"strings"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
)

// sourceOf is a decoder that keeps the source it is given.
type sourceOf struct{ src *ingest.Source }

func (s sourceOf) Decode(src ingest.Source, _ []byte) []mes.Record {
	*s.src = src
	return []mes.Record{{MachineID: src.MachineID}}
}

func TestBindings(t *testing.T) {
	t.Parallel()
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	bindings, err := mqtt.NewBindings("plant", []config.Subscription{
		{Topic: "p/M1/data", MachineID: "first", SiteID: "s1", DataType: "Quality", Format: config.FormatFlat, TimeZone: "Asia/Kolkata"},
		{Topic: "p/{machine}/data", MachineID: "configured", SiteID: "s2"},
		{Topic: "{site}/x/{area}/{line}/{machine}", SiteID: "s3"},
		{Topic: "none/#"},
	})
	if err != nil {
		t.Fatal(err)
	}
	received := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	tests := []struct {
		topic         string
		site, machine string
		format        string
		dataType      mes.DataType
		zone          *time.Location
		fault         string
	}{
		{"p/M1/data", "s1", "first", config.FormatFlat, mes.Quality, kolkata, ""},
		{"p/M2/data", "s2", "M2", config.FormatAuto, "", nil, ""},
		{"pune/x/a/l/M3", "pune", "M3", config.FormatAuto, "", nil, ""},
		{"none/at/all", "", "", config.FormatAuto, "", nil, ""},
		{"p//data", "s2", "", config.FormatAuto, "", nil, "{machine} is required"},
		{"a~b/x/a/l/M3", "s3", "", config.FormatAuto, "", nil, "{site} must be printable"},
		{"other", "", "", "", "", nil, "no subscription"},
	}
	for _, tt := range tests {
		var src ingest.Source
		m := mqtt.Message{Topic: tt.topic, Payload: []byte("body"), Retained: true, ReceivedAt: received}
		r := bindings.Decode(sourceOf{&src}, m)[0]
		if tt.fault != "" {
			if r.Fault == nil || !strings.Contains(r.Fault.Error(), tt.fault) || string(r.Payload) != "body" || r.Origin.Address != tt.topic || !r.ReceivedAt.Equal(received) {
				t.Errorf("%s became %+v, want the fault %q", tt.topic, r, tt.fault)
			}
			continue
		}
		want := ingest.Source{
			Origin: mes.Origin{Door: mes.DoorMQTT, Connection: "plant", Address: tt.topic, Format: tt.format},
			SiteID: tt.site, MachineID: tt.machine, DataType: tt.dataType, Zone: tt.zone,
			ReceivedAt: received, Retained: true,
		}
		if src != want && (src.Zone == nil || tt.zone == nil || src.Zone.String() != tt.zone.String()) {
			t.Errorf("%s gave the source %+v, want %+v", tt.topic, src, want)
		}
	}
}

func TestBindingsNameEveryFault(t *testing.T) {
	t.Parallel()
	three := 3
	_, err := mqtt.NewBindings("plant", []config.Subscription{
		{Topic: "a/#/b"}, {Topic: "fine"}, {Topic: "qos", QoS: &three}, {Topic: "zone", TimeZone: "Mars"},
	})
	if mes.ErrorCode(err) != mes.CodeInvalid {
		t.Fatalf("error %v", err)
	}
	for _, part := range []string{"last level", "QoS is 0, 1 or 2", "Mars"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in %v", part, err)
		}
	}
}
