package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/mes"
	"plantgate/internal/store/storetest"
)

// TestReportView reads MES_Data as a report does.
func TestReportView(t *testing.T) {
	t.Parallel()
	s := setup(t)
	at := time.Date(2026, 11, 22, 10, 15, 0, 1000, time.UTC)
	posted := storetest.NewRecord("s", "M001", at)
	posted.DataType = mes.Production
	posted.Payload = []byte(`{"machine_id": "M001", "x": 1.50}`)
	observed := storetest.NewRecord("s", `M"𝟘`, at.Add(time.Second-time.Microsecond))
	observed.Status = mes.Idle
	exact, err := mes.Number("0.12345678901234567890123456789")
	if err != nil {
		t.Fatal(err)
	}
	observed.Signals = []mes.Signal{
		{Name: "a\"b", Value: mes.String("29 \"ü\" \\ 🏭")},
		{Name: "array", Value: mes.Array(`[1,"x",null]`)},
		{Name: "bool", Value: mes.Bool(false)},
		{Name: "exact", Value: exact},
		{Name: "large", Value: mes.Uint(18446744073709551615)},
		{Name: "null"},
	}
	observed.Identify(mes.ID{})
	old := storetest.NewRecord("s", "m", time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC))
	old.ReceivedAt = at
	storetest.Append(t, s, posted, observed, old)
	if err := s.Runner.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}

	type row struct {
		ID         int64
		RecordID   string
		DataType   string
		Payload    string
		SiteID     string
		MachineID  string
		Timestamp  string
		ReceivedAt string
	}
	db := openFile(t, s.Path())
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM MES_Data ORDER BY Id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.ID, &r.RecordID, &r.DataType, &r.Payload, &r.SiteID, &r.MachineID, &r.Timestamp, &r.ReceivedAt); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	want := []row{
		{1, posted.ID.String(), "Production", `{"machine_id": "M001", "x": 1.50}`, "s", "M001",
			"2026-11-22T10:15:00.000001Z", "2026-11-22T10:15:01.000001Z"},
		{2, observed.ID.String(), "Telemetry", `{"MachineID":"M\"𝟘","Status":"Idle","a\"b":"29 \"ü\" \\ 🏭",` +
			`"array":[1,"x",null],"bool":false,"exact":0.12345678901234567890123456789,` +
			`"large":18446744073709551615,"null":null}`, "s", `M"𝟘`,
			"2026-11-22T10:15:01.000000Z", "2026-11-22T10:15:02.000000Z"},
		{3, old.ID.String(), "Telemetry", `{"MachineID":"m","temperature":20}`, "s", "m",
			"1969-12-31T23:59:59.999999Z", "2026-11-22T10:15:00.000001Z"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if _, err := db.ExecContext(t.Context(), "DELETE FROM MES_Data"); err == nil {
		t.Error("a report can delete")
	}
}
