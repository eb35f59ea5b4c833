package api_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/explore"
	"plantgate/internal/opcua/sim"
)

const (
	uaPath   = "/api/v1/adapters/opcua/press"
	uaStored = "nsu=" + sim.Namespace + ";s=Objects/MyFolder/MyStoredVariable"
	uaForce  = "ns=1;s=Plant/PRESS-01/Force"
)

// withPlant connects to a simulated plant.
func withPlant(f *fixture) {
	f.t.Helper()
	plant, err := sim.Start(f.t.Context(), "127.0.0.1:0")
	f.must(err)
	f.t.Cleanup(func() { _ = plant.Close() })
	service := explore.New([]config.OPCUAConnection{{
		Name: "press", Endpoint: plant.URL(), Machines: []config.OPCUAMachine{{MachineID: "M001"}},
		Writable: []config.OPCUAWritable{{Node: uaStored, MachineID: "M001"}, {Node: uaForce}},
		Callable: []config.OPCUACallable{{Object: sim.Folder, Method: sim.SetStored}},
	}, {Name: "away", Endpoint: "opc.tcp://127.0.0.1:1"}}, explore.Deps{Audit: f.store, SiteID: "main"})
	ctx, stop := context.WithCancel(context.WithoutCancel(f.t.Context()))
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	f.t.Cleanup(func() {
		stop()
		f.must(<-done)
	})
	f.deps.OPCUA = service
}

// act posts to a route of the connection.
func (f *fixture) act(path, body string, header map[string]string) reply {
	f.t.Helper()
	return f.do(call{method: http.MethodPost, path: uaPath + path, body: body, header: header})
}

func TestBrowseOPCUA(t *testing.T) {
	t.Parallel()
	f := setup(t, withPlant)
	press := uaPath + "/browse?node=nsu%3D" + sim.Namespace + "%3Bs%3DPlant%2FPRESS-01"
	whole, _ := f.list(press)
	parts, pages := f.list(press + "&limit=4")
	if len(whole) != 6 || len(parts) != 6 || pages != 2 {
		t.Fatalf("%d nodes, %d in %d pages", len(whole), len(parts), pages)
	}
	for i := range whole {
		if whole[i]["node_id"] != parts[i]["node_id"] || whole[i]["class"] != "Variable" || whole[i]["readable"] != true {
			t.Errorf("node %d: %v, %v", i, whole[i], parts[i])
		}
	}
	if top, _ := f.list(uaPath + "/browse"); len(top) == 0 {
		t.Error("the Objects folder is empty")
	}
	f.get(uaPath + "/browse?node=ns%3D1%3Bs%3Dnone").wantProblem(404)
	f.do(call{path: uaPath + "/browse?node=x"}).wantProblem(422, "/node")
	f.do(call{path: uaPath + "/browse?depth=2", invalid: true}).wantProblem(422, "/depth")
	f.get("/api/v1/adapters/opcua/oven/browse").wantProblem(404)
	if p := f.get("/api/v1/adapters/opcua/away/browse").wantProblem(503); !strings.Contains(p.Detail, "is the server running") {
		t.Errorf("away: %s", p.Detail)
	}
	for key, status := range map[string]int{
		f.key(mes.Scope{}, mes.ScopeDataRead):                                                        403,
		f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M002"}}, mes.ScopeAdaptersRead): 403,
		f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M001"}}, mes.ScopeAdaptersRead): 200,
		f.key(mes.Scope{Sites: []string{"pune"}}, mes.ScopeAdaptersRead):                             403,
	} {
		f.do(call{path: uaPath + "/browse", key: key}).want(status)
	}
	without := setup(t)
	without.get(uaPath + "/browse").wantProblem(404)
}

func TestReadOPCUA(t *testing.T) {
	t.Parallel()
	f := setup(t, withPlant)
	r := f.act("/read", `{"items":[{"node":"`+uaStored+`"},{"node":"ns=1;s=none"},{"node":"`+uaStored+`","attribute":"DataType"}]}`, nil).want(http.StatusOK)
	items := into[struct{ Items []object }](r).Items
	if len(items) != 3 || fmt.Sprint(items[0]["value"]) != "29" || items[0]["data_type"] != "Int32" || items[0]["quality"] != "good" || items[0]["source_timestamp"] == nil ||
		items[1]["status"] != "BadNodeIdUnknown" || items[1]["value"] != nil || items[2]["value"] != "i=6" {
		t.Errorf("%s", r.body)
	}
	for body, pointer := range map[string]string{
		`{"items":[]}`:                                 "/items",
		`{"items":[{"node":"x"}]}`:                     "/items/0/node",
		`{"items":[{"node":"i=1","attribute":"Age"}]}`: "/items/0/attribute",
		`{"items":[{"node":"i=1","colour":"Age"}]}`:    "/items/0/colour",
		`{"items":[` + strings.Repeat(`{"node":"i=1"},`, 1000) + `{"node":"i=1"}]}`: "/items",
	} {
		f.do(call{method: http.MethodPost, path: uaPath + "/read", body: body, invalid: true}).wantProblem(422, pointer)
	}
	if without := setup(t); true {
		without.act("/read", `{"items":[{"node":"i=1"}]}`, nil).wantProblem(404)
		without.act("/write", `{"items":[{"node":"i=1","value":1}]}`, nil).wantProblem(404)
		without.act("/call", `{"items":[{"object":"i=1","method":"i=2"}]}`, nil).wantProblem(404)
	}
}

func TestWriteOPCUA(t *testing.T) {
	t.Parallel()
	f := setup(t, withPlant)
	body := `{"items":[{"node":"` + uaStored + `","value":31}],"reason":"order 4711"}`
	key := map[string]string{"Idempotency-Key": "w1"}
	first := f.act("/write", body, key).want(http.StatusOK)
	done := into[struct {
		AuditID string `json:"audit_id"`
		Items   []object
	}](first)
	if done.Items[0]["outcome"] != "done" || fmt.Sprint(done.Items[0]["old_value"]) != "29" || done.Items[0]["status"] != "Good" {
		t.Errorf("%s", first.body)
	}
	if again := f.act("/write", body, key).want(http.StatusOK); !bytes.Equal(again.body, first.body) {
		t.Errorf("again %s", again.body)
	}
	f.act("/write", strings.Replace(body, "31", "32", 1), key).wantProblem(422)
	f.act("/call", `{"items":[{"object":"i=1","method":"i=2"}]}`, key).wantProblem(422)
	if mixed := f.act("/write", `{"items":[{"node":"`+uaStored+`","value":33},{"node":"`+uaForce+`","value":0.5}]}`, nil); mixed.status != http.StatusMultiStatus || !strings.Contains(string(mixed.body), "BadNotWritable") {
		t.Errorf("mixed: %d %s", mixed.status, mixed.body)
	}
	for name, c := range map[string]struct {
		body    string
		status  int
		pointer []string
	}{
		"not listed":   {`{"items":[{"node":"` + uaStored + `","value":1},{"node":"i=2258","value":1}]}`, 403, []string{"/items/1/node"}},
		"does not fit": {`{"items":[{"node":"` + uaStored + `","value":"x"}]}`, 422, []string{"/items/0/value"}},
		"too deep":     {`{"items":[{"node":"` + uaStored + `","value":` + strings.Repeat("[", 33) + strings.Repeat("]", 33) + `}]}`, 422, []string{"/items/0/value"}},
		"no value":     {`{"items":[{"node":"` + uaStored + `"}]}`, 422, []string{"/items/0/value"}},
		"no items":     {`{"items":[]}`, 422, []string{"/items"}},
		"a long why":   {`{"items":[],"reason":"` + strings.Repeat("x", 1025) + `"}`, 422, []string{"/reason"}},
	} {
		r := f.do(call{method: http.MethodPost, path: uaPath + "/write", body: c.body, invalid: true})
		if r.status != c.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
			continue
		}
		r.wantProblem(c.status, c.pointer...)
	}
	f.do(call{method: http.MethodPost, path: "/api/v1/adapters/opcua/away/write", body: body}).wantProblem(503)

	entries, _ := f.list("/api/v1/audit?limit=2")
	var states []string
	for _, e := range entries {
		states = append(states, fmt.Sprint(e["state"]))
	}
	all := strings.Join(states, " ")
	if len(entries) != 5 || states[0] != "failed" || states[4] != "done" || states[3] != "partial" || strings.Count(all, "refused") != 2 {
		t.Errorf("audit: %s", all)
	}
	one := into[object](f.get("/api/v1/audit/" + done.AuditID).want(http.StatusOK))
	if one["reason"] != "order 4711" || one["created_by"] == "" || one["connection"] != "press" || one["request"] == nil || one["result"] == nil {
		t.Errorf("entry %v", one)
	}
}

// Who has not the scope leaves a trace, and so does a key that is bound to other machines.
func TestWriteOPCUAWithoutScope(t *testing.T) {
	t.Parallel()
	f := setup(t, withPlant)
	body := `{"items":[{"node":"` + uaStored + `","value":31}]}`
	write := func(key string) reply {
		return f.do(call{method: http.MethodPost, path: uaPath + "/write", key: key, body: body})
	}
	write(f.key(mes.Scope{}, mes.ScopeFloorWrite, mes.ScopeDataWrite, mes.ScopeAdaptersRead)).wantProblem(403)
	write(f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M002"}}, mes.ScopeOPCUAWrite)).wantProblem(403)
	write("-").wantProblem(401)
	f.do(call{method: http.MethodPost, path: uaPath + "/call", key: f.key(mes.Scope{}, mes.ScopeDataRead), body: `{"items":[]}`, invalid: true}).wantProblem(403)
	for _, action := range mes.AlarmActions() {
		f.do(call{method: http.MethodPost, path: uaPath + "/alarms/" + string(action), key: f.key(mes.Scope{}, mes.ScopeOPCUAWrite), body: `{}`, invalid: true}).wantProblem(403)
		if entries, _ := f.list("/api/v1/audit?action=opcua.alarm." + string(action)); len(entries) != 1 || entries[0]["state"] != "refused" {
			t.Errorf("%s without the scope: audit %v", action, entries)
		}
	}
	entries, _ := f.list("/api/v1/audit?state=refused")
	if entries = entries[len(mes.AlarmActions()):]; len(entries) != 3 || entries[0]["action"] != "opcua.call" || !strings.Contains(fmt.Sprint(entries[2]["detail"]), "opcua:write") {
		t.Errorf("audit: %v", entries)
	}
	write(f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M001"}}, mes.ScopeOPCUAWrite)).want(http.StatusOK)
	f.do(call{path: "/api/v1/audit", key: f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M001"}}, mes.ScopeAdmin)}).wantProblem(403)
	f.do(call{path: "/api/v1/audit", key: f.key(mes.Scope{}, mes.ScopeDataRead)}).wantProblem(403)
	f.get("/api/v1/audit/" + mes.NewID().String()).wantProblem(404)
	f.do(call{path: "/api/v1/audit?state=gone", invalid: true}).wantProblem(422, "/state")
}

func TestCallOPCUA(t *testing.T) {
	t.Parallel()
	f := setup(t, withPlant)
	method := `"object":"` + sim.Folder + `","method":"` + sim.SetStored + `"`
	deep := strings.Repeat("[", 33) + strings.Repeat("]", 33)
	f.act("/call", `{"items":[{`+method+`,"arguments":[77,`+deep+`]}]}`, nil).wantProblem(422, "/items/0/arguments/1")
	r := f.act("/call", `{"items":[{`+method+`,"arguments":[77]}]}`, nil).want(http.StatusOK)
	done := into[struct {
		Items []struct {
			Outcome string
			Outputs []object
		}
	}](r)
	if done.Items[0].Outcome != "done" || fmt.Sprint(done.Items[0].Outputs[0]["value"]) != "29" || done.Items[0].Outputs[0]["name"] != "Previous" {
		t.Errorf("%s", r.body)
	}
	f.act("/call", `{"items":[{`+method+`}]}`, nil).wantProblem(422, "/items/0/arguments")
	f.act("/call", `{"items":[{"object":"i=85","method":"i=11492"}]}`, nil).wantProblem(403, "/items/0/method")
}
