package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"plantgate/internal/mes"
)

const contract1 = `{"machine_id":"M001","timestamp":"2026-11-22T10:15:00","temperature":72.31,"status":"Running"}`

func TestPostOneRecord(t *testing.T) {
	t.Parallel()
	f := setup(t)
	r := f.post(contract1).want(http.StatusCreated)
	answer := into[object](r)
	if answer["status"] != "created" || answer["machine_id"] != "M001" || answer["site_id"] != "main" || answer["timestamp"] != "2026-11-22T10:15:00Z" {
		t.Errorf("answer %s", r.body)
	}
	if r.header.Get("Location") != "/data/"+answer["id"].(string) {
		t.Errorf("Location %q", r.header.Get("Location"))
	}

	again := into[object](f.post(contract1).want(http.StatusOK))
	if again["status"] != "duplicate" || again["id"] != answer["id"] {
		t.Errorf("the same again: %v", again)
	}

	record := f.get(r.header.Get("Location")).want(http.StatusOK)
	got := into[object](record)
	for name, want := range (object{
		"id": answer["id"], "data_type": "Telemetry", "timestamp": "2026-11-22T10:15:00Z", "timestamp_origin": "source",
		"status": "Running", "quality": "good", "status_code": json.Number("0"),
	}) {
		if got[name] != want {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if v := got["signals"].(object)["temperature"]; v != json.Number("72.31") {
		t.Errorf("temperature %v", v)
	}
	if got["source"].(object)["door"] != "rest" || got["payload"].(object)["machine_id"] != "M001" {
		t.Errorf("record %s", record.body)
	}
}

func TestNumbersKeepEveryDigit(t *testing.T) {
	t.Parallel()
	f := setup(t)
	r := f.post(`{"machine_id":"M001","timestamp":"2026-11-22T10:15:00Z","a":9223372036854775807,"b":0.1234567890123456789,"c":1e300,"d":null}`)
	record := f.get(r.want(http.StatusCreated).header.Get("Location"))
	for _, want := range []string{`"a":9223372036854775807`, `"b":0.1234567890123456789`, `"d":null`} {
		if !bytes.Contains(record.body, []byte(want)) {
			t.Errorf("%s is not in %s", want, record.body)
		}
	}
}

func TestPostFaultsOfOneRecord(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, c := range map[string]struct {
		body     string
		status   int
		pointers []string
	}{
		"unknown status":    {`{"machine_id":"M1","status":"Runing"}`, 422, []string{"/status"}},
		"two faults":        {`{"machine_id":"a/b","status":"Runing"}`, 422, []string{"/machine_id", "/status"}},
		"no machine":        {`{"temperature":1}`, 422, []string{"/machine_id"}},
		"far future":        {`{"machine_id":"M1","timestamp":"2999-01-01T00:00:00Z","x":1}`, 422, []string{"/timestamp"}},
		"broken":            {`{"machine_id":`, 400, nil},
		"a member twice":    {`{"machine_id":"M1","x":1,"x":2}`, 400, nil},
		"not an object":     {`42`, 422, nil},
		"broken array":      {`[{"machine_id":"M1","x":1}`, 400, nil},
		"array and more":    {`[{"machine_id":"M1","x":1}] x`, 400, nil},
		"empty array":       {`[]`, 422, nil},
		"only space":        {"  \n", 400, nil},
		"a number too long": {`{"machine_id":"M1","x":1e400}`, 422, nil},
		"too many":          {"[" + strings.Repeat("{},", 100) + "{}]", 413, nil},
		"record too large":  {`{"machine_id":"M1","x":"` + strings.Repeat("x", 256<<10) + `"}`, 413, nil},
		"body too large":    {`{"machine_id":"M1","x":"` + strings.Repeat("x", 1<<20) + `"}`, 413, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := *f
			f.t = t
			f.do(call{method: "POST", path: "/data", body: c.body, invalid: true}).wantProblem(c.status, c.pointers...)
		})
	}
	if items, _ := f.list("/api/v1/quarantine"); len(items) != 0 {
		t.Errorf("%d items in quarantine although each sender had its answer", len(items))
	}
}

func TestPostBatch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	one := `{"machine_id":"M001","timestamp":"2026-11-22T10:15:00Z","x":1}`
	two := `{"machine_id":"M002","timestamp":"2026-11-22T10:15:00Z","x":1}`
	bad := `{"machine_id":"M003","status":"Asleep"}`

	all := into[batch](f.post("[" + one + "," + two + "]").want(http.StatusCreated))
	if all.Summary["created"] != 2 {
		t.Errorf("summary %v", all.Summary)
	}
	again := into[batch](f.post("[" + one + "," + two + "]").want(http.StatusOK))
	if again.Items[0].ID != all.Items[0].ID || again.Items[1].Status != "duplicate" {
		t.Errorf("again %+v", again)
	}
	mixed := into[batch](f.do(call{method: "POST", path: "/data", invalid: true,
		body: "[" + one + "," + bad + `,7,{"machine_id":"M004","x":1}]`}).want(http.StatusMultiStatus))
	want := []string{"0 200 duplicate", "1 422 quarantined", "2 422 quarantined", "3 201 created"}
	for i, item := range mixed.Items {
		if got := fmt.Sprint(item.Index, item.StatusCode, " "+item.Status); got != want[i] {
			t.Errorf("item %d is %q, want %q", i, got, want[i])
		}
	}
	if e := mixed.Items[1].Error; e == nil || len(e.Errors) == 0 || e.Errors[0].Pointer != "/status" {
		t.Errorf("error of the faulty item: %+v", e)
	}
	if items, _ := f.list("/api/v1/quarantine"); len(items) != 2 {
		t.Errorf("%d items in quarantine, want 2", len(items))
	}
}

type batch struct {
	Items []struct {
		Index      int
		StatusCode int `json:"status_code"`
		Status, ID string
		Error      *problem
	}
	Summary map[string]int
}

func TestPostLines(t *testing.T) {
	t.Parallel()
	f := setup(t)
	lines := map[string]string{"Content-Type": "application/x-ndjson"}
	r := f.do(call{method: "POST", path: "/data", header: lines, body: "{\"machine_id\":\"M1\",\"x\":1}\n\n{\"machine_id\":\"M2\",\"x\":1}\n"})
	if got := into[batch](r.want(http.StatusCreated)); len(got.Items) != 2 {
		t.Errorf("%s", r.body)
	}
	f.do(call{method: "POST", path: "/data", header: lines, body: "{\"machine_id\":\"M1\",\"x\":1}\n{broken\n"}).want(http.StatusMultiStatus)
	f.do(call{method: "POST", path: "/data", header: lines, body: "\n \n"}).wantProblem(http.StatusBadRequest)
	f.do(call{method: "POST", path: "/data", header: lines, body: strings.Repeat("{}\n", 101)}).wantProblem(http.StatusRequestEntityTooLarge)
}

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for contentType, status := range map[string]int{
		"application/json": 200, "application/json; charset=utf-8": 200, "APPLICATION/JSON": 200, "application/senml+json": 200,
		"text/plain": 200, "application/x-ndjson": 200, "": 200,
		"application/x-www-form-urlencoded": 200, "text/html": 415, "json": 415, "application/json; charset=utf-16": 415,
	} {
		r := f.do(call{method: "POST", path: "/data", body: contract1, invalid: true, header: map[string]string{"Content-Type": contentType}})
		if status == 415 {
			r.wantProblem(415)
		} else if r.status != 200 && r.status != 201 {
			t.Errorf("%q: %d %s", contentType, r.status, r.body)
		}
	}
}

func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	f := setup(t)
	whole := compressed(t, []byte(contract1))
	send := func(body []byte, encoding string) reply {
		return f.do(call{method: "POST", path: "/data", body: string(body), invalid: true, header: map[string]string{"Content-Encoding": encoding}})
	}
	send(whole, "gzip").want(http.StatusCreated)
	send(whole[:len(whole)/2], "gzip").wantProblem(http.StatusBadRequest)
	send(whole[:len(whole)-4], "gzip").wantProblem(http.StatusBadRequest)
	send([]byte(contract1), "gzip").wantProblem(http.StatusBadRequest)
	send([]byte(contract1), "br").wantProblem(http.StatusUnsupportedMediaType)
	send(whole, "gzip, gzip").wantProblem(http.StatusUnsupportedMediaType)
	// A record and 64 MiB of spaces are 64 KiB of gzip.
	bomb := append([]byte("["+contract1+"]"), bytes.Repeat([]byte(" "), 64<<20)...)
	send(compressed(t, bomb), "gzip").wantProblem(http.StatusRequestEntityTooLarge)
}

// Without a Content-Length the size shows only as the body is read.
func TestChunkedBodyIsBounded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	request := f.request(call{method: "POST", path: "/data", body: contract1})
	request.Body = io.NopCloser(strings.NewReader("[" + contract1 + "]" + strings.Repeat(" ", 1<<20)))
	request.ContentLength = -1
	f.send(request).wantProblem(http.StatusRequestEntityTooLarge)
	request = f.request(call{method: "POST", path: "/data", body: contract1})
	request.Body, request.ContentLength = io.NopCloser(strings.NewReader(contract1)), -1
	f.send(request).want(http.StatusCreated)
}

func compressed(t *testing.T, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	send := func(key, body string) reply {
		return f.do(call{method: "POST", path: "/data", body: body, header: map[string]string{"Idempotency-Key": key}, invalid: len(key) > 255})
	}
	// Without a timestamp each is a record of its own, unless the key says so.
	body := `{"machine_id":"M1","x":1}`
	first := into[object](send("a", body).want(http.StatusCreated))
	again := into[object](send("a", body))
	if again["id"] != first["id"] {
		t.Errorf("%v, then %v", first, again)
	}
	if other := into[object](send("b", body).want(http.StatusCreated)); other["id"] == first["id"] {
		t.Error("another key gave the same record")
	}
	send("a", `{"machine_id":"M1","x":2}`).wantProblem(http.StatusUnprocessableEntity)
	send(strings.Repeat("k", 256), body).wantProblem(http.StatusUnprocessableEntity, "/Idempotency-Key")
}

func TestMessageIDConflict(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.post(`{"machine_id":"M1","message_id":"m","x":1}`).want(http.StatusCreated)
	f.post(`{"machine_id":"M1","message_id":"m","x":1}`).want(http.StatusOK)
	f.post(`{"machine_id":"M1","message_id":"m","x":2}`).wantProblem(http.StatusConflict)
}

func TestKeyIsBoundToItsMachines(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key := f.key(mes.Scope{Sites: []string{"pune"}, Machines: []string{"M1"}}, mes.ScopeDataWrite, mes.ScopeDataRead, mes.ScopeEquipmentRead)
	post := func(body string) reply {
		return f.do(call{method: "POST", path: "/data", key: key, body: body})
	}
	own := post(`{"machine_id":"M1","x":1,"timestamp":"2026-11-22T10:15:00"}`).want(http.StatusCreated)
	if got := into[object](own); got["site_id"] != "pune" || got["timestamp"] != "2026-11-22T04:45:00Z" {
		t.Errorf("the key's site and its zone: %s", own.body)
	}
	post(`{"machine_id":"M2","x":1}`).wantProblem(http.StatusForbidden)
	post(`{"machine_id":"M1","site_id":"main","x":1}`).wantProblem(http.StatusForbidden)

	other := f.post(`{"machine_id":"M1","x":1}`).want(http.StatusCreated) // of main
	f.do(call{path: other.header.Get("Location"), key: key}).wantProblem(http.StatusNotFound)
	f.do(call{path: own.header.Get("Location"), key: key}).want(http.StatusOK)
	f.do(call{path: "/api/v1/equipment/main~M1", key: key}).wantProblem(http.StatusNotFound)
	f.do(call{path: "/api/v1/equipment/M1", key: key}).want(http.StatusOK)
	for _, path := range []string{"/data", "/api/v1/equipment", "/api/v1/latest"} {
		r := f.do(call{path: path, key: key}).want(http.StatusOK)
		for _, item := range into[struct{ Items []object }](r).Items {
			if item["site_id"] != "pune" {
				t.Errorf("%s shows %v", path, item)
			}
		}
	}
}

// fullQueue is an Ingester that has no room.
type fullQueue struct{ err error }

func (q fullQueue) Ingest(context.Context, []mes.Record) ([]mes.Receipt, error) { return nil, q.err }

func TestIngestFailures(t *testing.T) {
	t.Parallel()
	secret := fmt.Errorf("dial tcp 10.1.2.3: SELECT secret FROM passwords")
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"queue full": {mes.Errorf(mes.CodeUnavailable, "the queue is full"), 503},
		"cancelled":  {context.DeadlineExceeded, 503},
		"internal":   {mes.Wrap(mes.CodeInternal, secret, "the store failed at byte 7"), 500},
		"any error":  {secret, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, func(f *fixture) { f.deps.Ingester = fullQueue{c.err} })
			r := f.post(contract1)
			r.wantProblem(c.status)
			if c.status == 503 && r.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if bytes.Contains(r.body, []byte("SELECT")) || bytes.Contains(r.body, []byte("byte 7")) {
				t.Errorf("the answer shows the inside: %s", r.body)
			}
			if c.status == 500 && !strings.Contains(f.log.String(), "SELECT secret") {
				t.Errorf("the log does not say why: %s", f.log)
			}
		})
	}
}

// A faulty message of a batch shows to the keys of whom it names, and to nobody
// else; one that the sender may not write stays with the sender's site.
func TestQuarantineBelongsToWhomTheMessageNames(t *testing.T) {
	t.Parallel()
	f := setup(t)
	both := mes.Scope{Sites: []string{"pune", "main"}}
	reader := func(site, machine string) string {
		limit := mes.Scope{Sites: []string{site}}
		if machine != "" {
			limit.Machines = []string{machine}
		}
		return f.key(limit, mes.ScopeDataRead)
	}
	for name, c := range map[string]struct {
		sender       string
		body         string
		seen, unseen string
	}{
		"bad status": {
			f.key(both, mes.ScopeDataWrite), `[{"machine_id":"pune~M1","status":"secret"}]`,
			reader("pune", "M1"), reader("main", ""),
		},
		"forbidden": {
			f.key(mes.Scope{Sites: []string{"main"}}, mes.ScopeDataWrite), `[{"machine_id":"pune~M1","a":1}]`,
			reader("main", ""), reader("pune", ""),
		},
		"bad and forbidden": {
			f.key(mes.Scope{Sites: []string{"main"}}, mes.ScopeDataWrite), `[{"machine_id":"pune~M1","status":"secret"}]`,
			reader("main", ""), reader("pune", ""),
		},
	} {
		r := f.do(call{method: http.MethodPost, path: "/data", key: c.sender, body: c.body, invalid: true}).want(http.StatusMultiStatus)
		id := into[object](r)["items"].([]any)[0].(object)["id"].(string)
		if r := f.do(call{path: "/api/v1/quarantine/" + id, key: c.seen}); r.status != http.StatusOK {
			t.Errorf("%s: hidden from its own site: %d", name, r.status)
		}
		if r := f.do(call{path: "/api/v1/quarantine/" + id, key: c.unseen}); r.status != http.StatusNotFound {
			t.Errorf("%s: another site reads %s", name, r.body)
		}
	}
}

// The same Idempotency-Key with another body is an error of the whole request:
// nothing of it is stored, whatever else the batch holds.
func TestIdempotencyKeyWithAnotherBatch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	post := func(body string) reply {
		return f.do(call{method: http.MethodPost, path: "/data", body: body, header: map[string]string{"Idempotency-Key": "k"}})
	}
	post(`[{"machine_id":"M1","a":1}]`).want(http.StatusCreated)
	post(`[{"machine_id":"M1","a":1},{"machine_id":"M1","a":2}]`).want(http.StatusUnprocessableEntity)
	post(`[{"machine_id":"M1","a":3}]`).want(http.StatusUnprocessableEntity)
	post(`[{"machine_id":"M1","a":1}]`).want(http.StatusCreated)
	for path, want := range map[string]int{"/data": 1, "/api/v1/quarantine": 0} {
		if items := into[object](f.do(call{path: path}))["items"].([]any); len(items) != want {
			t.Errorf("%s holds %d items, want %d", path, len(items), want)
		}
	}
}
