package storetest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/mes"
)

func expectBirths(t *testing.T, s Store, connection string, want ...mes.SparkplugBirth) {
	t.Helper()
	got, err := s.SparkplugBirths(t.Context(), connection)
	if err != nil {
		t.Fatal(mes.WithCauses(err))
	}
	if len(want)+len(got) == 0 {
		return
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("the births of %s (-want +got):\n%s", connection, diff)
	}
}

func testSparkplugBirths(t *testing.T, s Store) {
	change := func(connection string, put *mes.SparkplugBirth, drop ...string) {
		t.Helper()
		if err := s.ChangeSparkplugBirths(t.Context(), connection, mes.SparkplugChange{Put: put, Drop: drop}); err != nil {
			t.Fatal(mes.WithCauses(err))
		}
	}
	birth := func(address, payload string, at time.Time) mes.SparkplugBirth {
		return mes.SparkplugBirth{Address: address, Payload: []byte(payload), ReceivedAt: mes.Micros(at)}
	}
	expectBirths(t, s, "plant")
	node := birth("Plant 1/é 𝄞 ", "\x00\xff node", day)
	device := birth("Plant 1/é 𝄞 /press", "", day.Add(time.Microsecond))
	long := birth("g/n/"+strings.Repeat("x", 286), strings.Repeat("large", 300_000), day)
	for _, b := range []mes.SparkplugBirth{device, node, long} {
		change("plant", &b)
	}
	change("Plant", &mes.SparkplugBirth{Address: "Plant 1/é 𝄞", Payload: []byte("another"), ReceivedAt: day})
	expectBirths(t, s, "plant", node, device, long)

	// The newest takes the place of the one before, in the transaction that forgets others.
	again := birth(node.Address, "again", day.Add(time.Hour))
	change("plant", &again, device.Address, "g/unknown")
	expectBirths(t, s, "plant", again, long)
	change("plant", nil, node.Address, long.Address)
	expectBirths(t, s, "plant")
	expectBirths(t, s, "Plant", birth("Plant 1/é 𝄞", "another", day))
}
