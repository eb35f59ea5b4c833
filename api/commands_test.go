package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"plantgate/api"
	"plantgate/internal/command"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/topic"
	"plantgate/internal/outbox"
)

// withRoutes gives the machines of site main whose ids begin with M a route.
func withRoutes(f *fixture) {
	template, err := topic.ParseTemplate("plant/{site}/{machine}/{command}")
	f.must(err)
	f.deps.Commands = command.New(f.store, []command.Route{{
		SiteID: "main", Machines: []string{"M*"}, Topic: template.Topic, QoS: 1, Queue: outbox.New(f.store, "mqtt:hall", outbox.Options{}),
	}}, nil)
}

func (f *fixture) command(path, body string, header map[string]string) reply {
	f.t.Helper()
	return f.do(call{method: http.MethodPost, path: path, body: body, header: header})
}

// commandObject is what tests look at in a command.
type commandObject struct {
	ID         string
	SiteID     string `json:"site_id"`
	MachineID  string `json:"machine_id"`
	State      string
	Parameters json.RawMessage
	Reply      *struct {
		Message string
		Data    json.RawMessage
	}
}

func TestSendCommand(t *testing.T) {
	t.Parallel()
	f := setup(t, withRoutes)
	f.fill("main", "M001", 1)
	expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	r := f.command("/api/v1/equipment/M001/commands", `{"command":"job_order.dispatch","parameters": {"order":"4711", "n":1.50},"expires_at":"`+expires+`"}`, nil).want(http.StatusCreated)
	sent := into[commandObject](r)
	if r.header.Get("Location") != "/api/v1/commands/"+sent.ID || sent.State != "pending" || string(sent.Parameters) != `{"order":"4711","n":1.50}` {
		t.Errorf("answer %s, at %s", r.body, r.header.Get("Location"))
	}
	if got := f.get("/api/v1/commands/" + sent.ID).want(http.StatusOK); !bytes.Equal(got.body, r.body) {
		t.Errorf("read %s\nwant %s", got.body, r.body)
	}
	list, err := f.store.NextMessages(t.Context(), "mqtt:hall", "main~M001", 10)
	f.must(err)
	var payload map[string]any
	if len(list) != 1 || list[0].Topic != "plant/main/M001/job_order.dispatch" || list[0].QoS != 1 || json.Unmarshal(list[0].Payload, &payload) != nil {
		t.Fatalf("messages %+v", list)
	}
	for member, want := range map[string]string{
		"command_id": sent.ID, "machine_id": "M001", "site_id": "main", "command": "job_order.dispatch", "expires_at": expires,
	} {
		if payload[member] != want {
			t.Errorf("%s is %v in %s", member, payload[member], list[0].Payload)
		}
	}
	if !strings.Contains(string(list[0].Payload), `"parameters":{"order":"4711","n":1.50}`) {
		t.Errorf("payload %s", list[0].Payload)
	}
	// No parameters are an empty object.
	plain := into[commandObject](f.command("/api/v1/equipment/main~M001/commands", `{"command":"stop"}`, nil).want(http.StatusCreated))
	if string(plain.Parameters) != "{}" {
		t.Errorf("parameters %s", plain.Parameters)
	}
}

func TestSendCommandRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t, withRoutes)
	f.fill("main", "M001", 1)
	f.fill("main", "X001", 1)
	f.fill("main", "M+1", 1)
	f.fill("pune", "M001", 1)
	const path = "/api/v1/equipment/M001/commands"
	for name, tt := range map[string]struct {
		path, body string
		status     int
		pointers   []string
	}{
		"unknown machine":                 {"/api/v1/equipment/M009/commands", `{"command":"stop"}`, 404, nil},
		"a site":                          {"/api/v1/equipment/pune~pune/commands", `{"command":"stop"}`, 404, nil},
		"no route":                        {"/api/v1/equipment/X001/commands", `{"command":"stop"}`, 409, nil},
		"other site":                      {"/api/v1/equipment/pune~M001/commands", `{"command":"stop"}`, 409, nil},
		"no level":                        {"/api/v1/equipment/M+1/commands", `{"command":"stop"}`, 409, nil},
		"no name":                         {path, `{"command":""}`, 422, []string{"/command"}},
		"name":                            {path, `{"command":"a/b"}`, 422, []string{"/command"}},
		"all at once":                     {path, `{"command":"+","expires_at":"2020-01-01T00:00:00Z"}`, 422, []string{"/command", "/expires_at"}},
		"parameters":                      {path, `{"command":"stop","parameters":[1]}`, 422, []string{"/parameters"}},
		"large":                           {path, `{"command":"stop","parameters":{"x":"` + strings.Repeat("x", 256<<10) + `"}}`, 422, []string{"/parameters"}},
		"as deep as may be, and no route": {"/api/v1/equipment/X001/commands", `{"command":"stop","parameters":` + nested(mes.MaxCommandDepth) + `}`, 409, nil},
		"deep":                            {path, `{"command":"stop","parameters":` + nested(mes.MaxCommandDepth+1) + `}`, 422, []string{"/parameters"}},
		"very deep":                       {path, `{"command":"stop","parameters":` + nested(100_000) + `}`, 422, []string{"/parameters"}},
		"a deep member":                   {path, `{"command":"stop","x":` + nested(100_000) + `}`, 422, []string{"/x"}},
		"unknown member":                  {path, `{"command":"stop","params":{}}`, 422, []string{"/params"}},
		"more at once": {path, `{"command":"x y","foo":1,"parameters":2,"expires_at":"2020-01-01T00:00:00","a/b":null}`, 422,
			[]string{"/a~1b", "/command", "/expires_at", "/foo", "/parameters"}},
		"no offset":      {path, `{"command":"stop","expires_at":"2036-01-01T00:00:00"}`, 422, []string{"/expires_at"}},
		"time of a type": {path, `{"command":"stop","expires_at":1}`, 422, []string{"/expires_at"}},
		"malformed":      {path, `{"command":"stop"`, 400, nil},
		"query":          {path + "?x=1", `{"command":"stop"}`, 422, []string{"/x"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := *f
			g.t = t
			g.do(call{method: http.MethodPost, path: tt.path, body: tt.body, invalid: true}).wantProblem(tt.status, tt.pointers...)
		})
	}
	if keys, err := f.store.WaitingKeys(t.Context(), "mqtt:hall"); err != nil || len(keys) != 0 {
		t.Errorf("what was refused is sent: %q, %v", keys, err)
	}
	if err := f.store.PutSites(t.Context(), []mes.Equipment{{SiteID: "pune", ID: "pune", Level: mes.LevelSite, CreatedAt: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	f.command("/api/v1/equipment/pune~pune/commands", `{"command":"stop"}`, nil).wantProblem(422, "/id")
}

// nested is an object of so many levels.
func nested(levels int) string {
	return strings.Repeat(`{"a":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
}

// TestExpiryIsRFC3339: the answer says how a time is written.
func TestExpiryIsRFC3339(t *testing.T) {
	t.Parallel()
	f := setup(t, withRoutes)
	f.fill("main", "M001", 1)
	r := f.do(call{method: http.MethodPost, path: "/api/v1/equipment/M001/commands", body: `{"command":"stop","expires_at":"2036-01-01T00:00:00"}`, invalid: true})
	if r.wantProblem(422, "/expires_at"); !strings.Contains(string(r.body), "RFC 3339 with an offset") {
		t.Errorf("answer %s", r.body)
	}
	body := `{"topic":"a","payload":"x","received_at":"2036-01-01 00:00"}`
	r = f.do(call{method: http.MethodPost, path: "/api/v1/adapters/mqtt/broker/test", body: body, invalid: true})
	if r.wantProblem(422, "/received_at"); !strings.Contains(string(r.body), "RFC 3339 with an offset") {
		t.Errorf("answer %s", r.body)
	}
	f.do(call{method: http.MethodPost, path: "/api/v1/equipment/M001/commands", body: `{"command":"stop","expires_at":null}`, invalid: true}).want(http.StatusCreated)
}

func TestSendCommandAgain(t *testing.T) {
	t.Parallel()
	f := setup(t, withRoutes)
	f.fill("main", "M001", 1)
	f.fill("main", "M002", 1)
	const path, body = "/api/v1/equipment/M001/commands", `{"command":"stop","expires_at":"%s"}`
	expires := time.Now().Add(2 * time.Second)
	soon := fmt.Sprintf(body, expires.Format(time.RFC3339Nano))
	key := map[string]string{"Idempotency-Key": "k 1"}
	first := f.command(path, soon, key).want(http.StatusCreated)
	// The command has gone on since; the answer stays.
	id, err := mes.ParseID(into[commandObject](first).ID)
	f.must(err)
	_, err = f.store.ReplyToCommands(t.Context(), []mes.CommandReply{{CommandID: id, Status: mes.CommandCompleted, Message: "done", ReceivedAt: time.Now()}})
	f.must(err)
	again := f.command(path, soon, key).want(http.StatusCreated)
	if !bytes.Equal(again.body, first.body) || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("first %s\nagain %s", first.body, again.body)
	}
	f.command(path, `{"command":"start"}`, key).wantProblem(422)
	f.command("/api/v1/equipment/M002/commands", soon, key).wantProblem(422)
	// Another key of the same caller, and the same of another caller, are other requests.
	f.command(path, `{"command":"stop"}`, map[string]string{"Idempotency-Key": "k 2"}).want(http.StatusCreated)
	other := f.do(call{method: http.MethodPost, path: path, body: `{"command":"stop"}`, header: key, key: f.key(mes.Scope{}, mes.ScopeFloorWrite)}).want(http.StatusCreated)
	if into[commandObject](other).ID == id.String() {
		t.Error("the command of one caller answers another's request")
	}
	time.Sleep(time.Until(expires) + 50*time.Millisecond) // expired by now: a new request would be refused
	f.command(path, soon, nil).wantProblem(422, "/expires_at")
	if late := f.command(path, soon, key).want(http.StatusCreated); !bytes.Equal(late.body, first.body) {
		t.Errorf("after the expiry %s", late.body)
	}
	f.command(path, fmt.Sprintf(body, "2020-01-01T00:00:00Z"), key).wantProblem(422)
}

func TestCommandScopes(t *testing.T) {
	t.Parallel()
	f := setup(t, withRoutes)
	f.fill("main", "M001", 1)
	f.fill("main", "M002", 1)
	id := into[commandObject](f.command("/api/v1/equipment/M001/commands", `{"command":"stop"}`, nil)).ID
	reader, writer := f.key(mes.Scope{}, mes.ScopeEquipmentRead), f.key(mes.Scope{}, mes.ScopeFloorWrite)
	bound := f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M002"}}, mes.ScopeFloorWrite, mes.ScopeEquipmentRead)
	for _, c := range []struct {
		key, method, path string
		status            int
	}{
		{reader, http.MethodPost, "/api/v1/equipment/M001/commands", 403},
		{writer, http.MethodGet, "/api/v1/equipment/M001/commands", 403},
		{writer, http.MethodGet, "/api/v1/commands/" + id, 403},
		{reader, http.MethodPost, "/api/v1/commands/" + id + "/cancel", 403},
		{bound, http.MethodPost, "/api/v1/equipment/M001/commands", 404},
		{bound, http.MethodGet, "/api/v1/equipment/M001/commands", 404},
		{bound, http.MethodGet, "/api/v1/commands/" + id, 404},
		{bound, http.MethodPost, "/api/v1/commands/" + id + "/cancel", 404},
		{bound, http.MethodPost, "/api/v1/equipment/M002/commands", 201},
		{reader, http.MethodGet, "/api/v1/equipment/M001/commands", 200},
		{writer, http.MethodPost, "/api/v1/equipment/M001/commands", 201},
	} {
		body := ""
		if c.method == http.MethodPost && strings.HasSuffix(c.path, "commands") {
			body = `{"command":"stop"}`
		}
		if r := f.do(call{method: c.method, path: c.path, key: c.key, body: body}); r.status != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, r.status, c.status)
		}
	}
}

func TestCommandListsAndCancel(t *testing.T) {
	t.Parallel()
	f := setup(t, withRoutes)
	f.fill("main", "M001", 1)
	var ids []string
	for i := range 5 {
		r := f.command("/api/v1/equipment/M001/commands", fmt.Sprintf(`{"command":"c%d"}`, i), nil).want(http.StatusCreated)
		ids = append([]string{into[commandObject](r).ID}, ids...)
	}
	whole, _ := f.list("/api/v1/equipment/M001/commands")
	parts, pages := f.list("/api/v1/equipment/main~M001/commands?limit=2")
	if len(whole) != 5 || len(parts) != 5 || pages != 3 {
		t.Fatalf("%d commands, %d in %d pages", len(whole), len(parts), pages)
	}
	for i, id := range ids {
		if whole[i]["id"] != id || parts[i]["id"] != id {
			t.Errorf("command %d is %v and %v, want %s", i, whole[i]["id"], parts[i]["id"], id)
		}
	}
	cancel := func(id string) reply {
		return f.do(call{method: http.MethodPost, path: "/api/v1/commands/" + id + "/cancel"})
	}
	if got := into[commandObject](cancel(ids[0]).want(http.StatusOK)); got.State != "cancelled" {
		t.Errorf("cancelled: %+v", got)
	}
	cancel(ids[0]).want(http.StatusOK)
	one, err := mes.ParseID(ids[1])
	f.must(err)
	_, err = f.store.ReplyToCommands(t.Context(), []mes.CommandReply{{
		CommandID: one, Status: mes.CommandRejected, Message: "no tool", Data: []byte(`[1,2.50]`), ReceivedAt: time.Now(),
	}})
	f.must(err)
	got := into[commandObject](f.get("/api/v1/commands/" + ids[1]).want(http.StatusOK))
	if got.State != "rejected" || got.Reply == nil || got.Reply.Message != "no tool" || string(got.Reply.Data) != `[1,2.50]` {
		t.Errorf("after the reply: %+v", got)
	}
	cancel(ids[1]).wantProblem(409)
	cancel(mes.NewID().String()).wantProblem(404)
	if left, _ := f.list("/api/v1/equipment/M001/commands?state=pending"); len(left) != 3 {
		t.Errorf("%d are pending", len(left))
	}
	f.do(call{path: "/api/v1/equipment/M001/commands?state=gone", invalid: true}).wantProblem(422, "/state")
	f.do(call{path: "/api/v1/commands/x", invalid: true}).wantProblem(422, "/id")
}

var _ api.Commands = (*command.Service)(nil)
