package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"plantgate/internal/mes"
)

// fill stores n records of a machine, a minute apart.
func (f *fixture) fill(site, machine string, n int) {
	f.t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s{%q:%q,%q:%q,%q:%q,%q:%d}", map[bool]string{true: "[", false: ","}[i == 0],
			"site_id", site, "machine_id", machine, "timestamp", fmt.Sprintf("2026-11-22T10:%02d:00Z", i), "x", i)
	}
	f.post(b.String() + "]").want(http.StatusCreated)
}

func TestListRecords(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.fill("main", "M001", 25)
	f.fill("pune", "M001", 3)
	f.fill("main", "M002", 2)
	f.post(`{"machine_id":"M001","data_type":"Event","status":"Idle","timestamp":"2026-11-22T09:00:00Z"}`).want(http.StatusCreated)

	for query, want := range map[string]int{
		"":                                  31,
		"?machine_id=M001":                  26, // of the key's site
		"?machine=M001":                     26,
		"?machine_id=pune~M001":             3,
		"?machine_id=M001&site_id=pune":     3,
		"?site_id=pune":                     3,
		"?machine_id=nobody":                0,
		"?data_type=Event":                  1,
		"?status=Idle":                      1,
		"?source=rest":                      31,
		"?source=mqtt":                      0,
		"?from=2026-11-22T10:20:00Z":        5,
		"?to=2026-11-22T10:00:00Z":          1,
		"?from=2026-11-22T15:30:00%2B05:30": 30,
		"?from=2026-11-22T10:05:00Z&to=2026-11-22T10:07:00Z&site_id=main": 2,
	} {
		t.Run(query, func(t *testing.T) {
			f := *f
			f.t = t
			separator := "?"
			if query != "" {
				separator = "&"
			}
			whole, _ := f.list("/data" + query)
			if len(whole) != want {
				t.Errorf("%d records, want %d", len(whole), want)
			}
			parts, pages := f.list("/data" + query + separator + "limit=4")
			if wantPages := max((want+3)/4, 1); pages != wantPages {
				t.Errorf("%d pages, want %d", pages, wantPages)
			}
			if !slices.EqualFunc(whole, parts, func(a, b object) bool { return a["id"] == b["id"] }) {
				t.Error("the pages are not the whole")
			}
		})
	}
}

func TestOrderOfRecords(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.fill("main", "M001", 10)
	times := func(query string) (list []string) {
		items, _ := f.list("/data?limit=3&machine_id=M001" + query)
		for _, item := range items {
			list = append(list, item["timestamp"].(string))
		}
		return list
	}
	newest, oldest := times(""), times("&order=asc")
	if len(newest) != 10 || !slices.IsSorted(oldest) {
		t.Errorf("ascending: %v", oldest)
	}
	slices.Reverse(newest)
	if !slices.Equal(newest, oldest) {
		t.Errorf("by default newest first: %v", newest)
	}
}

func TestPagesAreStableUnderInserts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.fill("main", "M001", 10)
	first := into[struct {
		Items []object
		Next  string `json:"next_cursor"`
	}](f.get("/data?limit=5"))
	f.post(`{"machine_id":"M001","timestamp":"2026-11-22T10:30:00Z","x":1}`).want(http.StatusCreated)
	rest, _ := f.list("/data?limit=5&cursor=" + url.QueryEscape(first.Next))
	if len(rest) != 5 {
		t.Errorf("%d records after the first page, want the other 5", len(rest))
	}
}

func TestFaultyParameters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.fill("main", "M001", 3)
	foreign := into[object](f.get("/data?limit=1&machine_id=M001"))["next_cursor"].(string)
	equipment := "/api/v1/equipment"
	for path, pointers := range map[string][]string{
		"/data?limit=0":                  {"/limit"},
		"/data?limit=-1":                 {"/limit"},
		"/data?limit=1001":               {"/limit"},
		"/data?limit=abc":                {"/limit"},
		"/data?limit=":                   {"/limit"},
		"/data?limit=1&limit=2":          {"/limit"},
		"/data?limit=0&foo=1&from=now":   {"/limit", "/foo", "/from"},
		"/data?from=2026-11-22T10:15:00": {"/from"},
		"/data?to=2026-01-01T00:00:00Z&from=2026-01-02T00:00:00Z": {"/to"},
		"/data?order=down":                        {"/order"},
		"/data?source=fax":                        {"/source"},
		"/data?status=running":                    {"/status"},
		"/data?data_type=x":                       {"/data_type"},
		"/data?machine=a&machine_id=b":            {"/machine"},
		"/data?machine_id=main~M1&site_id=pune":   {"/machine_id"},
		"/data?machine_id=a~b~c":                  {"/machine_id"},
		"/data?site_id=" + url.QueryEscape("a/b"): {"/site_id"},
		"/data?cursor=x":                          {"/cursor"},
		"/data?cursor=" + foreign:                 {"/cursor"}, // of another filter
		equipment + "?cursor=" + foreign:          {"/cursor"},
		equipment + "?level=roof":                 {"/level"},
		equipment + "/M001?x=1":                   {"/x"},
		equipment + "/M001/latest?machine_id=M1":  {"/machine_id"},
		"/api/v1/quarantine?state=shut":           {"/state"},
		"/api/v1/latest?limit=x":                  {"/limit"},
		"/data/nonsense":                          {"/id"},
		"/data/%27%20OR%201=1--":                  {"/id"},
	} {
		f.do(call{path: path, invalid: true}).wantProblem(http.StatusUnprocessableEntity, pointers...)
	}
	f.do(call{path: "/data?machine_id=M001&cursor=" + foreign}).want(http.StatusOK)
	f.do(call{path: "/data?limit=2&machine_id=M001&cursor=" + foreign}).want(http.StatusOK) // the limit may change
}

func TestEquipmentAndLatest(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.post(`[{"machine_id":"M001","timestamp":"2026-11-22T10:00:00Z","temperature":72.31,"status":"Running"},
		{"machine_id":"M001","timestamp":"2026-11-22T09:00:00Z","temperature":1,"speed":5},
		{"machine_id":"Presse 1 – Süd","timestamp":"2026-11-22T10:00:00Z","x":true},
		{"machine_id":"M001","site_id":"pune","timestamp":"2026-11-22T10:00:00Z","x":"on"}]`).want(http.StatusCreated)

	items, _ := f.list("/api/v1/equipment?level=work_unit&limit=1")
	var addresses []string
	for _, item := range items {
		addresses = append(addresses, item["address"].(string))
	}
	if want := []string{"main~M001", "main~Presse 1 – Süd", "pune~M001"}; !slices.Equal(addresses, want) {
		t.Errorf("equipment %q, want %q", addresses, want)
	}
	for path, site := range map[string]string{"M001": "main", "pune~M001": "pune", "pune%7EM001": "pune"} {
		e := into[object](f.get("/api/v1/equipment/" + path).want(http.StatusOK))
		if e["site_id"] != site || e["id"] != "M001" || e["auto_registered"] != true {
			t.Errorf("%s: %v", path, e)
		}
	}
	f.get("/api/v1/equipment/" + url.PathEscape("Presse 1 – Süd") + "/latest").want(http.StatusOK)
	f.get("/api/v1/equipment/M999").wantProblem(http.StatusNotFound)
	f.get("/api/v1/equipment/M999/latest").wantProblem(http.StatusNotFound)

	latest, pages := f.list("/api/v1/equipment/M001/latest?limit=2")
	got := make(map[string]string)
	for _, l := range latest {
		got[l["signal"].(string)] = fmt.Sprint(l["value"])
	}
	if len(got) != 3 || got["temperature"] != "72.31" || got["speed"] != "5" || got["status"] != "Running" || pages != 2 {
		t.Errorf("latest %v on %d pages", got, pages)
	}
	if all, _ := f.list("/api/v1/latest?limit=2"); len(all) != 5 {
		t.Errorf("%d newest values of all machines, want 5", len(all))
	}
	if own, _ := f.list("/api/v1/latest?machine_id=pune~M001"); len(own) != 1 || own[0]["value"] != "on" {
		t.Errorf("of one machine: %v", own)
	}
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.do(call{method: "POST", path: "/data", invalid: true, body: `[{"machine_id":"M1","status":"Asleep","timestamp":"2026-11-22T10:00:00Z"},{"x":1},{"machine_id":"M1","status":"Awake"},{"machine_id":"M1","x":1}]`}).
		want(http.StatusMultiStatus)
	items, pages := f.list("/api/v1/quarantine?state=open&limit=2")
	if len(items) != 3 || pages != 2 {
		t.Fatalf("%d items on %d pages", len(items), pages)
	}
	for _, item := range items {
		if size := fmt.Sprint(item["size"]); size == "0" || size == "<nil>" {
			t.Errorf("the list gives the size %s", size)
		}
	}
	path := func(i int) string { return "/api/v1/quarantine/" + items[i]["id"].(string) }

	one := into[object](f.get(path(0)).want(http.StatusOK))
	if !strings.Contains(one["raw"].(string), "Asleep") || one["raw_encoding"] != "utf-8" || one["reason"].(object)["code"] != "invalid" {
		t.Errorf("item %v", one)
	}
	raw := f.get(path(0) + "/raw").want(http.StatusOK)
	if string(raw.body) != one["raw"] || !strings.HasPrefix(raw.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("raw %q, %v", raw.body, raw.header)
	}

	// As it came it is still faulty; corrected it is stored.
	f.do(call{method: "POST", path: path(0) + "/replay"}).wantProblem(http.StatusUnprocessableEntity, "/status")
	r := f.do(call{method: "POST", path: path(0) + "/replay", body: `{"payload":{"machine_id":"M1","status":"Idle","timestamp":"2026-11-22T10:00:00Z"}}`})
	result := into[batch](r.want(http.StatusOK))
	if result.Summary["created"] != 1 {
		t.Errorf("replay %s", r.body)
	}
	f.get("/data/" + result.Items[0].ID).want(http.StatusOK)
	closed := into[object](f.get(path(0)))
	if closed["state"] != "replayed" || closed["record_id"] != result.Items[0].ID || closed["resolved_by"] == "" {
		t.Errorf("after the replay: %v", closed)
	}
	f.do(call{method: "POST", path: path(0) + "/replay"}).wantProblem(http.StatusConflict)

	f.do(call{method: "POST", path: path(1) + "/replay", body: `{"machine_id":"M7"}`}).want(http.StatusOK)
	f.do(call{method: "POST", path: path(2) + "/discard"}).want(http.StatusNoContent)
	f.do(call{method: "POST", path: path(2) + "/discard"}).wantProblem(http.StatusConflict)
	if open, _ := f.list("/api/v1/quarantine?state=open"); len(open) != 0 {
		t.Errorf("still open: %v", open)
	}
	if discarded, _ := f.list("/api/v1/quarantine?state=discarded&source=rest&site_id=main"); len(discarded) != 1 {
		t.Errorf("discarded: %v", discarded)
	}
	for _, action := range []string{"/replay", "/discard"} {
		f.do(call{method: "POST", path: "/api/v1/quarantine/" + mes.NewID().String() + action}).wantProblem(http.StatusNotFound)
	}
	f.get("/api/v1/quarantine/" + mes.NewID().String()).wantProblem(http.StatusNotFound)
}

func TestReplayRequestIsStrict(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.do(call{method: "POST", path: "/data", invalid: true, body: `[{"x":1},{"machine_id":"M1","x":1}]`}).want(http.StatusMultiStatus)
	items, _ := f.list("/api/v1/quarantine")
	path := "/api/v1/quarantine/" + items[0]["id"].(string) + "/replay"
	for body, want := range map[string]struct {
		status   int
		pointers []string
	}{
		`{"machine":"M1"}`:                     {422, []string{"/machine"}},
		`{"Machine_ID":"M1"}`:                  {422, []string{"/Machine_ID"}},
		`{"machine_id":7}`:                     {422, []string{"/machine_id"}},
		`{"machine_id":"a~b","format":"fax"}`:  {422, []string{"/machine_id", "/format"}},
		`{"payload":7}`:                        {422, []string{"/payload"}},
		`{"machine_id":"M1","machine_id":"M"}`: {400, []string{"/machine_id"}},
		`{"machine_id":"M1"} {}`:               {400, nil},
		`{"machine_id":"M1"`:                   {400, nil},
		"{\"machine_id\":\"\xff\"}":            {400, nil},
		` `:                                    {400, nil},
		`[]`:                                   {422, []string{""}},
		strings.Repeat(`{"payload":`, 20000):   {422, []string{"/payload"}},
		`{"machine_id"::` + strings.Repeat(`[`, 20000): {400, []string{"/machine_id"}},
		strings.Repeat(" ", 1<<20) + "{}":              {413, nil},
	} {
		f.do(call{method: "POST", path: path, body: body, invalid: true}).wantProblem(want.status, want.pointers...)
	}
	f.do(call{method: "POST", path: path, body: `{}`, invalid: true, header: map[string]string{"Content-Type": "text/plain"}}).wantProblem(415)
	// The text of a message, too.
	f.do(call{method: "POST", path: path, body: `{"payload":"{\"machine_id\":\"M1\",\"x\":2}"}`}).want(http.StatusOK)
}

func TestReplayKeepsToTheKeysMachines(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.do(call{method: "POST", path: "/data", invalid: true, body: `[{"machine_id":"M1","status":"x"},{"machine_id":"M2","x":1}]`}).want(http.StatusMultiStatus)
	items, _ := f.list("/api/v1/quarantine")
	path := "/api/v1/quarantine/" + items[0]["id"].(string)
	elsewhere := f.key(mes.Scope{Sites: []string{"pune"}}, mes.ScopeDataWrite, mes.ScopeDataRead)
	for _, c := range []call{{path: path}, {path: path + "/raw"}, {method: "POST", path: path + "/replay"}, {method: "POST", path: path + "/discard"}} {
		c.key = elsewhere
		f.do(c).wantProblem(http.StatusNotFound)
	}
	bound := f.key(mes.Scope{Sites: []string{"main"}}, mes.ScopeDataWrite)
	f.do(call{method: "POST", path: path + "/replay", key: bound, body: `{"payload":{"machine_id":"M1","site_id":"pune","x":1}}`}).wantProblem(http.StatusForbidden)
	f.do(call{method: "POST", path: path + "/replay", key: bound, body: `{"payload":{"machine_id":"M1","x":1}}`}).want(http.StatusOK)
}

// A page of large records ends early, so that readers can't fill the memory, and
// the list goes on where it ended.
func TestPagesOfLargeRecordsEndEarly(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const records, size = 60, 250_000
	text := strings.Repeat("x", size)
	for i := range records {
		body := fmt.Sprintf(`{"machine_id":"M1","timestamp":"2026-11-22T10:15:%02dZ","s%02d":"%s"}`, i, i, text)
		f.do(call{method: http.MethodPost, path: "/data", body: body}).want(http.StatusCreated)
	}
	for _, path := range []string{"/data?order=asc&limit=1000", "/api/v1/equipment/M1/latest?limit=1000"} {
		seen := map[string]bool{}
		pages, cursor := 0, ""
		for {
			r := f.do(call{path: path + cursor}).want(http.StatusOK)
			if len(r.body) > 20<<20 {
				t.Fatalf("%s: a page of %d bytes", path, len(r.body))
			}
			pages++
			page := into[object](r)
			for _, item := range page["items"].([]any) {
				o := item.(object)
				seen[fmt.Sprint(o["timestamp"], o["signal"])] = true
			}
			if page["next_cursor"] == nil {
				break
			}
			cursor = "&cursor=" + page["next_cursor"].(string)
		}
		if len(seen) != records || pages < 2 {
			t.Errorf("%s: %d items on %d pages, want %d on several", path, len(seen), pages, records)
		}
	}
}
