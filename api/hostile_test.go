package api_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// hostileBodies are what a confused or ill-meaning sender may send.
func hostileBodies(t *testing.T) map[string][]byte {
	t.Helper()
	deep := strings.Repeat("[", 10_000)
	return map[string][]byte{
		"nothing":             {},
		"nul bytes":           make([]byte, 100),
		"deep arrays":         []byte(deep),
		"deep and closed":     []byte(deep + strings.Repeat("]", 10_000)),
		"deep objects":        []byte(`{"machine_id":"M1","x":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_001)),
		"deep in a batch":     []byte(`[{"machine_id":"M1","x":` + deep + strings.Repeat("]", 10_000) + "}]"),
		"invalid UTF-8":       []byte("{\"machine_id\":\"M\xff1\",\"x\":1}"),
		"UTF-8 in a name":     []byte("{\"machine_id\":\"M1\",\"\xc3\x28\":1}"),
		"lone surrogate":      []byte(`{"machine_id":"\ud800","x":1}`),
		"UTF-16":              []byte("\xff\xfe{\x00\"\x00"),
		"member twice":        []byte(`{"machine_id":"M1","machine_id":"M2","x":1}`),
		"NaN":                 []byte(`{"machine_id":"M1","x":NaN}`),
		"Infinity":            []byte(`{"machine_id":"M1","x":-Infinity}`),
		"huge number":         []byte(`{"machine_id":"M1","x":` + strings.Repeat("9", 100_000) + `}`),
		"huge exponent":       []byte(`{"machine_id":"M1","x":1e999999999}`),
		"tiny exponent":       []byte(`{"machine_id":"M1","x":1e-999999999}`),
		"octal":               []byte(`{"machine_id":"M1","x":007}`),
		"comment":             []byte(`{"machine_id":"M1",/* x */"x":1}`),
		"single quotes":       []byte(`{'machine_id':'M1'}`),
		"trailing comma":      []byte(`{"machine_id":"M1","x":1,}`),
		"two values":          []byte(`{"machine_id":"M1","x":1}{"machine_id":"M1","x":2}`),
		"SQL in the id":       []byte(`{"machine_id":"M1'; DROP TABLE record; --/","x":1}`),
		"path in the id":      []byte(`{"machine_id":"../../etc/passwd","x":1}`),
		"nul in the id":       []byte(`{"machine_id":"M1\u0000","x":1}`),
		"newline in the id":   []byte(`{"machine_id":"M1\nM2","x":1}`),
		"long id":             []byte(`{"machine_id":"` + strings.Repeat("M", 10_000) + `","x":1}`),
		"id is an object":     []byte(`{"machine_id":{"$ne":null},"x":1}`),
		"long name":           []byte(`{"machine_id":"M1","` + strings.Repeat("x", 10_000) + `":1}`),
		"many signals":        manySignals(10_000),
		"status is a number":  []byte(`{"machine_id":"M1","status":1}`),
		"time is an object":   []byte(`{"machine_id":"M1","timestamp":{},"x":1}`),
		"time in year 0":      []byte(`{"machine_id":"M1","timestamp":"0000-00-00T00:00:00Z","x":1}`),
		"time in year 99999":  []byte(`{"machine_id":"M1","timestamp":"99999-01-01T00:00:00Z","x":1}`),
		"time as huge epoch":  []byte(`{"machine_id":"M1","timestamp":1e300,"x":1}`),
		"sequence too large":  []byte(`{"machine_id":"M1","sequence":99999999999999999999,"x":1}`),
		"unknown site":        []byte(`{"machine_id":"M1","site_id":"atlantis","x":1}`),
		"XML":                 []byte(`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>`),
		"form":                []byte("machine_id=M1&x=1"),
		"truncated gzip":      compressed(t, []byte(contract1))[:20],
		"gzip in gzip":        compressed(t, compressed(t, []byte(contract1))),
		"batch of everything": []byte(`[1,"x",null,true,[],{},{"machine_id":null}]`),
	}
}

func manySignals(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"machine_id":"M1"`)
	for i := range n {
		fmt.Fprintf(&b, `,"s%d":%d`, i, i)
	}
	return []byte(b.String() + "}")
}

func TestHostileBodies(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, body := range hostileBodies(t) {
		for _, header := range []map[string]string{
			{}, {"Content-Encoding": "gzip"}, {"Content-Type": "application/x-ndjson"}, {"Content-Type": "text/plain"}, {"Content-Type": "application/xml"},
		} {
			r := f.do(call{method: "POST", path: "/data", body: string(body), header: withType(header), invalid: true})
			switch {
			case r.status == http.StatusMultiStatus: // what was faulty is in quarantine
			case r.status >= 400 && r.status < 500:
				if p := r.wantProblem(r.status); p.Detail == "" {
					t.Errorf("%s: no detail: %s", name, r.body)
				}
			default:
				t.Errorf("%s with %v: %d %s", name, header, r.status, r.body)
			}
		}
	}
	f.do(call{path: "/readyz"}).want(http.StatusOK)
}

func withType(header map[string]string) map[string]string {
	if header["Content-Type"] == "" {
		header["Content-Type"] = "application/json"
	}
	return header
}

// Bodies that are nearly right, with bytes exchanged, dropped and doubled.
func TestDamagedBodies(t *testing.T) {
	t.Parallel()
	f := setup(t)
	rnd := rand.New(rand.NewPCG(20261122, 1015))
	seeds := []string{
		contract1,
		`[` + contract1 + `,{"machine_id":"M002","status":"Idle","nested":{"a":[1,2],"b":null}}]`,
		`{"DataType":"Production","Payload":{"MachineID":"M3","Value":42.31,"Unit":"pcs"}}`,
		`{"timestamp":"2025-11-03 06:45:23.966780","variables":{"MyStoredVariable":29,"MyAsynchronousVariable":null}}`,
	}
	for i := range 2000 {
		body := []byte(seeds[i%len(seeds)])
		for range 1 + rnd.IntN(3) {
			at := rnd.IntN(len(body))
			switch rnd.IntN(4) {
			case 0:
				body[at] = byte(rnd.IntN(256))
			case 1:
				body = append(body[:at], body[at+1:]...)
			case 2:
				body = append(body[:at:at], append([]byte{body[at]}, body[at:]...)...)
			default:
				body = body[:at+1]
			}
		}
		r := f.do(call{method: "POST", path: "/data", body: string(body), invalid: true})
		if r.status >= 500 {
			t.Fatalf("%q: %d %s", body, r.status, r.body)
		}
		if r.status >= 400 {
			r.wantProblem(r.status)
		}
	}
}

func TestHostilePathsAndQueries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.fill("main", "M001", 1)
	for _, path := range []string{
		"/api/v1/equipment/" + strings.Repeat("a", 5000),
		"/api/v1/equipment/%00", "/api/v1/equipment/%ff%fe", "/api/v1/equipment/a%2Fb", "/api/v1/equipment/..%2f..%2fetc%2fpasswd",
		"/api/v1/equipment/%27%3B%20DROP%20TABLE%20equipment%3B--", "/api/v1/equipment/~", "/api/v1/equipment/~~~", "/api/v1/equipment/main~",
		"/api/v1/quarantine/..%2f..%2fetc", "/data/0", "/data/%2e%2e", "/data/00000000-0000-0000-0000-000000000000",
		"/data?machine_id=%27%20OR%20%271%27=%271", "/data?machine_id=%00", "/data?cursor=" + strings.Repeat("A", 10_000),
		"/data?from=1&to=%ff", "/data?%ff=%fe", "/data?limit=99999999999999999999", "/data?a=1;b=2", "/data?%", "/data?cursor=eyJmIjoiIn0",
		"/swagger/..%2f..%2fweb.go", "/swagger/%2e%2e%2fopenapi.json",
	} {
		r := f.send(f.request(call{path: path}))
		if r.status >= 500 || r.status == 0 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		if r.status >= 400 {
			r.wantProblem(r.status)
		}
	}
	if items, _ := f.list("/data?machine_id=" + "%27%20OR%20%271%27%3D%271"); len(items) != 0 {
		t.Errorf("SQL in a parameter found %d records", len(items))
	}
}

// A body that ends before its Content-Length must not be taken for whole.
func TestBodyThatEndsEarly(t *testing.T) {
	t.Parallel()
	f := setup(t)
	conn, err := net.DialTimeout("tcp", f.server.Listener.Addr().String(), 5*time.Second)
	f.must(err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /data HTTP/1.1\r\nHost: x\r\nx-api-key: %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n%s", bootstrapKey, contract1)
	f.must(err)
	f.must(conn.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	f.must(err)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("answer %.200q", answer)
	}
	if items, _ := f.list("/data"); len(items) != 0 {
		t.Errorf("%d records stored", len(items))
	}
}

// A body that trickles in must not hold its connection for ever.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	f := setup(t, func(f *fixture) { f.settings.BodyTimeout = 100 * time.Millisecond })
	conn, err := net.DialTimeout("tcp", f.server.Listener.Addr().String(), 5*time.Second)
	f.must(err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /data HTTP/1.1\r\nHost: x\r\nx-api-key: %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", bootstrapKey)
	f.must(err)
	f.must(conn.SetReadDeadline(time.Now().Add(10 * time.Second)))
	answer, err := io.ReadAll(conn) // the server closes the connection
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") || !strings.Contains(string(answer), "did not arrive within 100ms") {
		t.Errorf("%v: answer %.300q", err, answer)
	}
}
