package store_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/mes"
	"plantgate/internal/store/storetest"
)

// TestSQLServerReportView reads MES_Data as a report does. A payload is what came, byte
// for byte; one that is made of signals has plain texts here, since not every server
// writes others in JSON as they are.
func TestSQLServerReportView(t *testing.T) {
	s, dsn := openSQLServer(t)
	shared := apptest.OpenShared(t, s, app.SharedOptions{})
	at := time.Date(2026, 11, 22, 10, 15, 0, 1000, time.UTC)
	posted := storetest.NewRecord("s", "M001", at)
	posted.DataType = mes.Production
	posted.Payload = []byte("{\"machine_id\": \"M001\",\n\t\"x\": 1.50, \"text\": \"a\\\"b\\\\ \ue022 🏭\"}")
	observed := storetest.NewRecord("s", "M 2", at.Add(time.Second))
	observed.Status = mes.Idle
	exact, err := mes.Number("0.12345678901234567890123456789")
	if err != nil {
		t.Fatal(err)
	}
	observed.Signals = []mes.Signal{
		{Name: "array", Value: mes.Array(`[1,null]`)}, {Name: "bool", Value: mes.Bool(false)}, {Name: "exact", Value: exact},
		{Name: "large", Value: mes.Uint(18446744073709551615)}, {Name: "null"}, {Name: "text", Value: mes.String("plain")},
	}
	observed.Identify(mes.ID{})
	storetest.Append(t, shared, posted, observed)

	type row struct {
		ID                                             int64
		RecordID, DataType, Payload, SiteID, MachineID string
		Timestamp, ReceivedAt                          time.Time
	}
	db, err := sql.Open("sqlserver", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM MES_Data ORDER BY [Timestamp]")
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
		r.ID = 0
		got = append(got, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	want := []row{
		{0, posted.ID.String(), "Production", string(posted.Payload), "s", "M001", at, at.Add(time.Second)},
		{0, observed.ID.String(), "Telemetry", `{"MachineID":"M 2","Status":"Idle","array":[1,null],"bool":false,` +
			`"exact":0.12345678901234567890123456789,"large":18446744073709551615,"null":null,"text":"plain"}`,
			"s", "M 2", at.Add(time.Second), at.Add(2 * time.Second)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}
