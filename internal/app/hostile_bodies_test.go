package app_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"plantgate/internal/app/apptest"
)

// hostileBody is a body of POST /data, and what its sender must be told.
type hostileBody struct {
	name, body string
	headers    []string
	status     int
	// pointer is the member that the problem names, detail a part of its text.
	pointer, detail string
}

func hostileBodies(t *testing.T) []hostileBody {
	t.Helper()
	member := func(name, value, pointer string) hostileBody {
		return hostileBody{name: name, body: `{"machine_id":"M1",` + value + `}`, status: http.StatusUnprocessableEntity, pointer: pointer}
	}
	id := func(name, id string, status int) hostileBody {
		c := hostileBody{name: name, body: `{"x":1,"machine_id":"` + id + `"}`, status: status}
		if status == http.StatusUnprocessableEntity {
			c.pointer = "/machine_id"
		}
		return c
	}
	malformed := func(name, body, detail string) hostileBody {
		return hostileBody{name: name, body: body, status: http.StatusBadRequest, detail: detail}
	}
	deep := strings.Repeat("[", 10_000)
	good := `{"machine_id":"M1","x":1}`
	zipped := compressed(t, good)
	gzipped := []string{"Content-Encoding", "gzip"}
	return []hostileBody{
		malformed("nothing", "", "empty"),
		malformed("white space", " \r\n\t ", "empty"),
		malformed("nul bytes", strings.Repeat("\x00", 100), "UTF-16"),
		malformed("deep arrays", deep, "ends too early"),
		malformed("deep and closed in a member", `{"machine_id":"M1","x":`+deep+strings.Repeat("]", 10_000)+`}`, "nested deeper"),
		malformed("deep objects", `{"machine_id":"M1","x":`+strings.Repeat(`{"a":`, 10_000)+"1"+strings.Repeat("}", 10_001), "nested deeper"),
		malformed("invalid UTF-8", "{\"machine_id\":\"M\xff1\",\"x\":1}", "UTF-8"),
		malformed("UTF-16", "\xff\xfe{\x00\"\x00x\x00", "UTF-16"),
		malformed("UTF-16 without mark", "{\x00\"\x00x\x00", "UTF-16"),
		malformed("lone surrogate", `{"machine_id":"\ud800","x":1}`, "at byte"),
		malformed("member twice", `{"machine_id":"M1","machine_id":"M2","x":1}`, "/machine_id"),
		malformed("NaN", `{"machine_id":"M1","x":NaN}`, "NaN"),
		malformed("-Infinity", `{"machine_id":"M1","x":-Infinity}`, "Infinity"),
		malformed("octal", `{"machine_id":"M1","x":007}`, "at byte"),
		malformed("comment", `{"machine_id":"M1",/* x */"x":1}`, "at byte"),
		malformed("single quotes", `{'machine_id':'M1'}`, "at byte"),
		malformed("trailing comma", `{"machine_id":"M1","x":1,}`, "at byte"),
		malformed("two values", good+good, "goes on after"),
		malformed("XML", `<?xml version="1.0"?><a/>`, "at byte"),
		malformed("truncated", good[:12], "ends too early"),
		{"not gzip", good, gzipped, 400, "", "gzip"},
		{"truncated gzip", zipped[:len(zipped)/2], gzipped, 400, "", "gzip"},
		{"damaged gzip", zipped[:len(zipped)-6] + "abcdef", gzipped, 400, "", "gzip"},
		{"gzip in gzip", compressed(t, zipped), gzipped, 400, "", "UTF-8"},
		{"gzip of nothing", compressed(t, ""), gzipped, 400, "", "empty"},
		{"brotli", good, []string{"Content-Encoding", "br"}, 415, "", "Content-Encoding"},
		{"XML by type", good, []string{"Content-Type", "application/xml"}, 415, "", "Content-Type"},
		{"form", "machine_id=M1", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "", "Content-Type"},
		{"no media type", good, []string{"Content-Type", ";;;"}, 415, "", "Content-Type"},
		{"charset", good, []string{"Content-Type", "application/json; charset=utf-16"}, 415, "", "UTF-8"},
		{"long key", good, []string{"Idempotency-Key", strings.Repeat("k", 300)}, 422, "/Idempotency-Key", ""},
		{"wrong key", good, []string{"X-Api-Key", strings.Repeat("'", 5000)}, 401, "", "key"},
		{"empty array", "[]", nil, 422, "", "empty"},
		{"scalar", "42", nil, 422, "", "object"},
		{"lines of nothing", "\n\n\n", []string{"Content-Type", "application/x-ndjson"}, 400, "", "no line"},
		{"batch too long", "[" + strings.Repeat(good+",", 10_000) + good + "]", nil, 413, "", "10000"},
		{"record too large", `{"machine_id":"M1","x":"` + strings.Repeat("x", 300<<10) + `"}`, nil, 413, "", "262144"},
		{"all faulty", `[1,"x",null,true,[],{}]`, nil, 207, "", "a JSON object, not a number"},
		member("huge number", `"x":`+strings.Repeat("9", 100_000), "/x"),
		member("huge exponent", `"x":1e999999999`, "/x"),
		member("tiny exponent", `"x":1e-999999999`, "/x"),
		member("long name", `"`+strings.Repeat("n", 10_000)+`":1`, "/"+strings.Repeat("n", 10_000)),
		member("status is a number", `"status":1`, "/status"),
		member("unknown status", `"status":"Runing"`, "/status"),
		member("time is an object", `"x":1,"timestamp":{}`, "/timestamp"),
		member("month 13", `"x":1,"timestamp":"2026-13-01T00:00:00Z"`, "/timestamp"),
		member("year 99999", `"x":1,"timestamp":"99999-01-01T00:00:00Z"`, "/timestamp"),
		member("before 1970", `"x":1,"timestamp":"1969-12-31T23:59:59Z"`, "/timestamp"),
		member("tomorrow", fmt.Sprintf(`"x":1,"timestamp":%q`, time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339)), "/timestamp"),
		member("epoch beyond all", `"x":1,"timestamp":1e300`, "/timestamp"),
		member("sequence too large", `"x":1,"sequence":99999999999999999999`, "/sequence"),
		member("unknown site", `"x":1,"site_id":"atlantis"`, "/site_id"),
		member("long message id", `"x":1,"message_id":"`+strings.Repeat("m", 300)+`"`, "/message_id"),
		member("data type", `"x":1,"data_type":"'; DROP TABLE record; --"`, "/data_type"),
		id("path in the id", "../../etc/passwd", 422),
		id("nul in the id", `M1\u0000`, 422),
		id("newline in the id", `M1\nM2`, 422),
		id("right-to-left override in the id", `M1\u202e`, 422),
		id("long id", strings.Repeat("M", 10_000), 422),
		id("empty id", "", 422),
		{"id is null", `{"machine_id":null,"x":1}`, nil, 422, "/machine_id", ""},
		{"id is a number", `{"machine_id":7,"x":1}`, nil, 422, "/machine_id", ""},
		{"id is an object", `{"machine_id":{"$ne":null},"x":1}`, nil, 422, "/machine_id", ""},
		// Strange but right: an id is any printable text.
		id("SQL in the id", "M1'; DROP TABLE record; --", 201),
		id("template in the id", "${jndi:ldap:x} {{7*7}} %s%n", 201),
	}
}

// seedBodies are the messages of the decoder's golden cases, good and bad.
func seedBodies(t *testing.T) [][]byte {
	t.Helper()
	files, err := filepath.Glob("../ingest/testdata/decode/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d golden cases: %v", len(files), err)
	}
	var seeds [][]byte
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if f.Name == "body" && len(f.Data) > 1 {
				seeds = append(seeds, bytes.TrimSuffix(f.Data, []byte("\n")))
			}
		}
	}
	return seeds
}

// mutate exchanges, drops, doubles and inserts bytes.
func mutate(rnd *rand.Rand, seed []byte) []byte {
	b := bytes.Clone(seed)
	tokens := []string{"{", "}", "[", "]", ",", ":", `"`, "null", "NaN", "1e400", "-0", `\u0000`, `\ud800`, "\xff", "\x00", "'; DROP TABLE record; --", "../", `"machine_id":"M9",`, "\n"}
	for range 1 + rnd.IntN(4) {
		if len(b) == 0 {
			return b
		}
		at := rnd.IntN(len(b))
		switch rnd.IntN(5) {
		case 0:
			b[at] = byte(rnd.IntN(256))
		case 1:
			b = append(b[:at:at], b[at+1:]...)
		case 2:
			end := at + rnd.IntN(len(b)-at)
			b = append(b[:end:end], b[at:]...)
		case 3:
			b = append(b[:at:at], append([]byte(pick(rnd, tokens...)), b[at:]...)...)
		default:
			b = b[:at]
		}
	}
	return b
}

// contentTypes has mostly such as are taken, so that bodies are looked at.
func contentTypes() []string {
	list := []string{"application/xml", "multipart/form-data; boundary=x", "application/json; charset=utf-16", ";;;"}
	for range 8 {
		list = append(list, "application/json", "application/x-ndjson", "text/plain", "application/vnd.mes+json")
	}
	return list
}

// hostilePaths are addresses that no list or resource has.
func hostilePaths() []string {
	paths := []string{
		"/etc/passwd", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/data/../../x", "//data//x", "/.git/config", "/data/",
		"/api/v1/equipment/%00", "/api/v1/equipment/%ff%fe", "/api/v1/equipment/a%2Fb", "/api/v1/equipment/~", "/api/v1/equipment/main~",
		"/api/v1/equipment/%27%3B%20DROP%20TABLE%20equipment%3B--", "/api/v1/equipment/" + strings.Repeat("a", 5000),
		"/data/0", "/data/00000000-0000-0000-0000-000000000000", "/data/%27%20OR%201=1", "/data/not-a-uuid/x", "/" + strings.Repeat("x", 30_000),
		"/swagger/..%2f..%2fweb.go", "/problems/%00", "/api/v1/quarantine/x", "/api/v1/quarantine/x/raw", "/api/v2/equipment",
	}
	for _, query := range []string{
		"limit=0", "limit=-1", "limit=1001", "limit=99999999999999999999", "limit=abc", "limit=1&limit=2", "limit=", "limit=1e2",
		"cursor=" + strings.Repeat("A", 10_000), "cursor=x", "cursor=eyJmIjoiIn0", "cursor=%00", "cursor=", "cursor=../..", "machine_id=%00", "machine_id=",
		"from=yesterday", "from=1", "from=2026-13-01T00:00:00Z", "from=%ff", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
		"order=up", "source=fax", "status=Broken", "data_type=%27", "unknown=1", "a;b=c", "%", "%zz=1", "machine_id=a&machine=b",
	} {
		paths = append(paths, "/data?"+query)
	}
	return paths
}

// raw sends bytes that no HTTP library would. What is not HTTP is answered by the
// HTTP library in plain text, or not at all.
func (h *hostile) raw() {
	const head = "Host: localhost\r\nX-Api-Key: " + apptest.Key + "\r\nContent-Type: application/json\r\n"
	body := `{"machine_id":"M1","x":1}`
	for _, c := range []struct{ name, request, status string }{
		{"chunk longer than said", "POST /data HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n5\r\n" + body + "\r\n0\r\n\r\n", "400"},
		{"chunk size is no number", "POST /data HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body + "\r\n0\r\n\r\n", "400"},
		{"chunk size overflows", "POST /data HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + body, "400"},
		{"negative length", "POST /data HTTP/1.1\r\n" + head + "Content-Length: -1\r\n\r\n" + body, "400"},
		{"two lengths", "POST /data HTTP/1.1\r\n" + head + "Content-Length: 5\r\nContent-Length: 25\r\n\r\n" + body, "400"},
		{"body shorter than said", "POST /data HTTP/1.1\r\n" + head + "Content-Length: 1000\r\n\r\n" + body, "400"},
		{"control character in a header", "POST /data HTTP/1.1\r\n" + head + "X-Request-Id: a\x01b\r\nContent-Length: 25\r\n\r\n" + body, "400"},
		{"space in a header's name", "POST /data HTTP/1.1\r\n" + head + "X Y: a\r\nContent-Length: 25\r\n\r\n" + body, "400"},
		{"100 KB of headers", "POST /data HTTP/1.1\r\n" + head + "X-Long: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", "431"},
		{"100 KB of address", "GET /" + strings.Repeat("x", 100<<10) + " HTTP/1.1\r\n" + head + "\r\n", "431"},
		{"no host", "GET /data HTTP/1.1\r\n\r\n", "400"},
		{"unknown version", "GET /data HTTP/7.3\r\n" + head + "\r\n", "505"},
		{"no HTTP", "\x16\x03\x01 hello\r\n\r\n", "400"},
		{"encoding twice", "POST /data HTTP/1.1\r\n" + head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"},
		{"method of lower case", "post /data HTTP/1.1\r\n" + head + "Content-Length: 0\r\n\r\n", "405"},
	} {
		answer := h.exchange(c.request)
		if !strings.HasPrefix(answer, "HTTP/1.1 "+c.status+" ") {
			h.t.Errorf("%s: answer %.300q, want %s", c.name, answer, c.status)
		}
	}
}

// exchange writes bytes to a TLS connection, ends its side, and returns what comes.
func (h *hostile) exchange(request string) string {
	h.t.Helper()
	transport := h.s.HTTP.Transport.(*http.Transport)
	config := transport.TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	dialer := tls.Dialer{Config: config}
	conn, err := dialer.DialContext(h.t.Context(), "tcp", strings.TrimPrefix(h.s.URL, "https://"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(apptest.Patience))
	_, _ = io.WriteString(conn, request) // a server that has seen enough may not take all
	_ = conn.(*tls.Conn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	h.mu.Lock()
	h.sent++
	h.mu.Unlock()
	return string(answer)
}

// endless is a reader of one byte, for ever.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// zeros returns n zero bytes in gzip: about a thousandth of them. Several one
// after the other are gzip too (RFC 1952, 2.2).
func zeros(t *testing.T, n int64) string {
	t.Helper()
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, err := io.CopyN(w, endless(0), n)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// largest returns a body of nearly 16 MiB, in one of the forms that cost the
// server most memory for its size.
func largest(i int) (body io.Reader, headers []string) {
	const size = 16<<20 - 1024
	switch i % 4 {
	case 0: // 10,000 records
		record := `{"machine_id":"M1","timestamp":"bad","x":"` + strings.Repeat("x", 1600) + `"},`
		return strings.NewReader("[" + strings.Repeat(record, 9999) + record[:len(record)-1] + "]"), nil
	case 1: // one record too large
		return io.MultiReader(strings.NewReader(`{"machine_id":"M1","x":"`), io.LimitReader(endless('x'), size-30), strings.NewReader(`"}`)), nil
	case 2: // some records full of tiny values
		tiny := `{"machine_id":"M1","timestamp":"bad","x":[` + strings.Repeat("0,", 120_000) + `0]}`
		plain := `,{"machine_id":"M1","timestamp":"bad","x":"` + strings.Repeat("x", 240_000) + `"},`
		return strings.NewReader("[" + strings.Repeat(tiny+plain+tiny+strings.Repeat(plain[1:], 5), 8) + tiny + "]"), nil
	default:
		line := `{"machine_id":"M1","timestamp":"bad","y":` + strings.Repeat(" ", 1600) + "1}\n"
		return strings.NewReader(strings.Repeat(line, 9999)), []string{"Content-Type", "application/x-ndjson"}
	}
}
