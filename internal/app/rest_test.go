package app_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"plantgate/internal/app/apptest"
	"plantgate/internal/auth"
	"plantgate/internal/mes"
)

// wall is the form of contract 1's timestamps, which have no offset.
const wall = "2006-01-02T15:04:05"

// Contract 1: a reading that is posted comes back with its time, which without
// an offset is local time of the machine's site.
func TestContract1(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	for site, zone := range map[string]string{"main": "UTC", "pune": "Asia/Kolkata", "york": "America/New_York"} {
		at := time.Now().Add(-time.Minute).Truncate(time.Second)
		body := fmt.Sprintf(`{"machine_id":"M001","timestamp":%q,"temperature":72.31,"status":"Running"}`, at.In(location(t, zone)).Format(wall))
		client := s.As(auth.NewKey{Name: site, Scopes: []mes.KeyScope{mes.ScopeDataRead, mes.ScopeDataWrite}, Limit: mes.Scope{Sites: []string{site}}})
		answer := client.Post(body).Want(http.StatusCreated)
		stored := apptest.Decode[apptest.Stored](answer)
		if stored.Status != "created" || stored.SiteID != site || answer.Header.Get("Location") != "/data/"+stored.ID {
			t.Errorf("%s: answer %s", site, answer.Body)
		}
		r := apptest.Get[apptest.Record](client, "/data/"+stored.ID)
		if !r.Timestamp.Equal(at) || r.TimestampOrigin != "source" || r.SiteID != site || r.MachineID != "M001" || r.Status != "Running" ||
			string(r.Signals["temperature"]) != "72.31" || r.Source.Door != "rest" {
			t.Errorf("%s: posted at %s, came back as %+v", site, at, r)
		}
		page := apptest.Get[apptest.Page[apptest.Record]](client, "/data?machine_id=M001")
		if len(page.Items) != 1 || page.Items[0].ID != stored.ID {
			t.Errorf("%s: listed %+v", site, page.Items)
		}
		again := apptest.Decode[apptest.Stored](client.Post(body).Want(http.StatusOK))
		if again.Status != "duplicate" || again.ID != stored.ID {
			t.Errorf("%s: the second arrival got %+v", site, again)
		}
	}
}

// A local time that occurs twice takes the occurrence nearest to receipt, bears
// a flag, and is a duplicate of either occurrence.
func TestRepeatedHour(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	first, second := repeatedHour(t, location(t, "America/New_York"))
	post := func(machine, timestamp string, status int) apptest.Stored {
		t.Helper()
		return apptest.Decode[apptest.Stored](s.Post(fmt.Sprintf(`{"machine_id":%q,"site_id":"york","timestamp":%q,"x":1}`, machine, timestamp)).Want(status))
	}
	local := first.In(location(t, "America/New_York")).Format(wall)

	got := post("M1", local, http.StatusCreated)
	r := apptest.Get[apptest.Record](s.Client, "/data/"+got.ID)
	if !r.Timestamp.Equal(second) || !slices.Contains(r.Flags, "repeated_hour") {
		t.Errorf("%s came back as %s with flags %v, want %s", local, r.Timestamp, r.Flags, second)
	}
	for i, occurrence := range []time.Time{first, second} {
		machine := fmt.Sprintf("M%d", i+2)
		original := post(machine, occurrence.Format(time.RFC3339), http.StatusCreated)
		if dup := post(machine, local, http.StatusOK); dup.ID != original.ID || dup.Status != "duplicate" {
			t.Errorf("occurrence %d: %+v is not a duplicate of %+v", i+1, dup, original)
		}
		unflagged := apptest.Get[apptest.Record](s.Client, "/data/"+original.ID)
		if len(unflagged.Flags) != 0 || !unflagged.Timestamp.Equal(occurrence) {
			t.Errorf("occurrence %d with its offset: %+v", i+1, unflagged)
		}
	}
}

// A local time that clocks were put forward over never was.
func TestSkippedHour(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	zone := location(t, "America/New_York")
	forward := lastChange(t, zone, func(before, after int) bool { return after > before })
	skipped := forward.Add(-time.Second).In(zone).Add(30 * time.Minute).UTC()
	_, before := forward.Add(-time.Second).In(zone).Zone()
	text := skipped.Add(time.Duration(before) * time.Second).Format(wall)
	answer := s.Post(fmt.Sprintf(`{"machine_id":"M1","site_id":"york","timestamp":%q,"x":1}`, text)).Want(http.StatusUnprocessableEntity)
	p := apptest.Decode[apptest.Problem](answer)
	if len(p.Errors) != 1 || p.Errors[0].Pointer != "/timestamp" {
		t.Errorf("%s: %s", text, answer.Body)
	}
}

// repeatedHour returns both instants of a local time that occurred twice when
// clocks were last put back.
func repeatedHour(t *testing.T, zone *time.Location) (first, second time.Time) {
	t.Helper()
	back := lastChange(t, zone, func(before, after int) bool { return after < before })
	_, before := back.Add(-time.Second).In(zone).Zone()
	_, after := back.In(zone).Zone()
	first = back.Add(-30 * time.Minute).UTC()
	return first, first.Add(time.Duration(before-after) * time.Second)
}

// lastChange finds when the zone's offset last changed as wanted.
func lastChange(t *testing.T, zone *time.Location, wanted func(before, after int) bool) time.Time {
	t.Helper()
	at := time.Now().Add(-3 * time.Hour).Truncate(15 * time.Minute)
	for range 2 * 366 * 96 {
		_, after := at.In(zone).Zone()
		at = at.Add(-15 * time.Minute)
		if _, before := at.In(zone).Zone(); wanted(before, after) {
			return at.Add(15 * time.Minute)
		}
	}
	t.Fatalf("the clocks of %s never change", zone)
	return time.Time{}
}

func location(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// The newest value is that of the newest source time: a late record takes its
// place in history and changes nothing else.
func TestLateRecord(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	now := time.Now().UTC().Truncate(time.Second)
	post := func(age time.Duration, value int) {
		s.Post(fmt.Sprintf(`{"machine_id":"M1","timestamp":%q,"x":%d}`, now.Add(-age).Format(time.RFC3339), value)).Want(http.StatusCreated)
	}
	post(time.Minute, 1)
	post(time.Hour, 2)
	post(2*time.Minute, 3)
	latest := apptest.Get[apptest.Page[apptest.Latest]](s.Client, "/api/v1/equipment/M1/latest").Items
	if len(latest) != 1 || string(latest[0].Value) != "1" || !latest[0].Timestamp.Equal(now.Add(-time.Minute)) {
		t.Errorf("latest is %+v", latest)
	}
	history := apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data?machine_id=M1&order=asc").Items
	var values []string
	for _, r := range history {
		values = append(values, string(r.Signals["x"]))
	}
	if !slices.Equal(values, []string{"2", "3", "1"}) {
		t.Errorf("history is %v", values)
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	at := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)
	record := func(machine string) string {
		return fmt.Sprintf(`{"machine_id":%q,"timestamp":%q,"x":1}`, machine, at)
	}
	array := "[" + record("A1") + "," + record("A2") + "]"
	lines := record("N1") + "\n" + record("N2") + "\n"
	for _, c := range []struct {
		name, body string
		headers    []string
		status     int
		want       string
	}{
		{"array", array, nil, 201, "{2 0 0 0}"},
		{"array again", array, nil, 200, "{0 2 0 0}"},
		{"lines", lines, []string{"Content-Type", "application/x-ndjson"}, 201, "{2 0 0 0}"},
		{"gzip", compressed(t, "["+record("G1")+"]"), []string{"Content-Encoding", "gzip"}, 201, "{1 0 0 0}"},
		{"gzip lines", compressed(t, record("G2")+"\n"+record("G3")), []string{"Content-Encoding", "gzip", "Content-Type", "application/x-ndjson"}, 201, "{2 0 0 0}"},
		{"mixed", "[" + record("A1") + "," + record("A3") + `,{"machine_id":"A4","status":"Runing"}]`, nil, 207, "{1 1 1 0}"},
	} {
		answer := s.Post(c.body, c.headers...).Want(c.status)
		if got := fmt.Sprint(apptest.Decode[apptest.Batch](answer).Summary); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	mixed := apptest.Get[apptest.Page[apptest.Quarantined]](s.Client, "/api/v1/quarantine").Items
	if len(mixed) != 1 || mixed[0].Reason.Code != "invalid" {
		t.Errorf("quarantine holds %+v", mixed)
	}
	if list := apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data").Items; len(list) != 8 {
		t.Errorf("%d records, want 8", len(list))
	}
}

func compressed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	const reading = `{"machine_id":"M1","x":1}`
	first := apptest.Decode[apptest.Stored](s.Post(reading, "Idempotency-Key", "shift 7").Want(http.StatusCreated))
	again := apptest.Decode[apptest.Stored](s.Post(reading, "Idempotency-Key", "shift 7"))
	if again.ID != first.ID {
		t.Errorf("the retry got %s, want %s", again.ID, first.ID)
	}
	s.Post(`{"machine_id":"M1","x":2}`, "Idempotency-Key", "shift 7").Want(http.StatusUnprocessableEntity)
	s.Restart()
	if late := apptest.Decode[apptest.Stored](s.Post(reading, "Idempotency-Key", "shift 7")); late.ID != first.ID {
		t.Errorf("the retry after a restart got %s, want %s", late.ID, first.ID)
	}
	if other := apptest.Decode[apptest.Stored](s.Post(reading).Want(http.StatusCreated)); other.ID == first.ID {
		t.Error("a reading without time and key was taken for a retry")
	}
}

func TestMessageIDs(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	first := apptest.Decode[apptest.Stored](s.Post(`{"machine_id":"M1","message_id":"7","x":1}`).Want(http.StatusCreated))
	again := apptest.Decode[apptest.Stored](s.Post(`{"machine_id":"M1","message_id":"7","x":1.0}`).Want(http.StatusOK))
	if again.ID != first.ID {
		t.Errorf("%s is not the first arrival %s", again.ID, first.ID)
	}
	s.Post(`{"machine_id":"M1","message_id":"7","x":2}`).Want(http.StatusConflict)
	s.Post(`{"machine_id":"M2","message_id":"7","x":2}`).Want(http.StatusCreated)
}

// A key that is bound to a site and a machine sees and writes nothing else.
func TestKeyLimits(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	s.Post(`{"machine_id":"M2","x":1}`).Want(http.StatusCreated)
	own := s.As(auth.NewKey{
		Name: "one machine", Scopes: []mes.KeyScope{mes.ScopeDataRead, mes.ScopeDataWrite},
		Limit: mes.Scope{Sites: []string{"main"}, Machines: []string{"M1"}},
	})
	own.Post(`{"machine_id":"M1","x":1}`).Want(http.StatusCreated)
	own.Post(`{"machine_id":"M2","x":1}`).Want(http.StatusForbidden)
	own.Post(`{"machine_id":"pune~M1","x":1}`).Want(http.StatusForbidden)
	if got := apptest.Get[apptest.Page[apptest.Record]](own, "/data").Items; len(got) != 1 || got[0].MachineID != "M1" {
		t.Errorf("the key sees %+v", got)
	}
	own.Do(http.MethodGet, "/api/v1/equipment", "").Want(http.StatusForbidden)
	reader := s.As(auth.NewKey{Name: "reads", Scopes: []mes.KeyScope{mes.ScopeDataRead}})
	reader.Post(`{"machine_id":"M1","x":1}`).Want(http.StatusForbidden)
	stranger := *s.Client
	stranger.Key = "no such key at all"
	stranger.Post(`{"machine_id":"M1","x":1}`).Want(http.StatusUnauthorized)
}

// A message in quarantine can be read, corrected and replayed, or discarded, once.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	s := apptest.Start(t)
	s.Post(`[{"machine_id":"M1","status":"Runing","x":1},{"machine_id":"M1","x":{"a":1,"a":2}}]`).Want(http.StatusMultiStatus)
	items := apptest.Get[apptest.Page[apptest.Quarantined]](s.Client, "/api/v1/quarantine?state=open").Items
	if len(items) != 2 {
		t.Fatalf("quarantine holds %+v", items)
	}
	path := "/api/v1/quarantine/" + items[0].ID
	if raw := apptest.Get[apptest.Quarantined](s.Client, path).Raw; raw != `{"machine_id":"M1","status":"Runing","x":1}` {
		t.Errorf("the message is %q", raw)
	}
	s.Do(http.MethodPost, path+"/replay", "").Want(http.StatusUnprocessableEntity)
	replayed := apptest.Decode[apptest.Batch](s.Do(http.MethodPost, path+"/replay", `{"payload":{"machine_id":"M1","status":"Running","x":1}}`).Want(http.StatusOK))
	if replayed.Summary.Created != 1 {
		t.Errorf("the replay made %+v", replayed)
	}
	if r := apptest.Get[apptest.Record](s.Client, "/data/"+replayed.Items[0].ID); r.Status != "Running" {
		t.Errorf("the replay stored %+v", r)
	}
	s.Do(http.MethodPost, path+"/replay", "").Want(http.StatusConflict)
	s.Do(http.MethodPost, "/api/v1/quarantine/"+items[1].ID+"/discard", "").Want(http.StatusNoContent)
	s.Do(http.MethodPost, "/api/v1/quarantine/"+items[1].ID+"/discard", "").Want(http.StatusConflict)
	if open := apptest.Get[apptest.Page[apptest.Quarantined]](s.Client, "/api/v1/quarantine?state=open").Items; len(open) != 0 {
		t.Errorf("still open: %+v", open)
	}
}
