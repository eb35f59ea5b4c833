package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"plantgate/internal/mes"
)

// plantAlarms are those of the connection "press".
type plantAlarms struct {
	list  mes.Alarms
	asked []mes.AlarmRequest
	fault error
}

func (p *plantAlarms) Alarms(_ context.Context, connection string) (mes.Alarms, error) {
	if connection != "press" {
		return mes.Alarms{}, mes.Errorf(mes.CodeNotFound, "there is no OPC UA connection %q", connection)
	}
	list := p.list
	list.Items = append([]mes.Alarm(nil), p.list.Items...)
	return list, nil
}

func (p *plantAlarms) ActOnAlarm(_ context.Context, _ string, r mes.AlarmRequest) error {
	p.asked = append(p.asked, r)
	return p.fault
}

const alarmsPath = "/api/v1/adapters/opcua/press/alarms"

func alarmFixture(t *testing.T) (*fixture, *plantAlarms) {
	yes := true
	p := &plantAlarms{list: mes.Alarms{Complete: true, RefreshedAt: time.Now(), Items: []mes.Alarm{
		{SiteID: "main", MachineID: "M1", ConditionID: "a", EventID: "AQ==", EventType: "i=2915", Severity: 700, Time: time.Now(), Active: &yes},
		{SiteID: "main", MachineID: "M1", ConditionID: "a", BranchID: "b", EventID: "Ag==", EventType: "i=2915"},
		{SiteID: "main", MachineID: "M2", ConditionID: "c", EventID: "Aw==", EventType: "i=2915"},
	}}}
	return setup(t, func(f *fixture) { f.deps.Alarms = p }), p
}

func TestListAlarms(t *testing.T) {
	t.Parallel()
	f, _ := alarmFixture(t)
	names := func(path, key string) (ids []string, next string, complete bool) {
		got := into[object](f.do(call{path: path, key: key}).want(http.StatusOK))
		for _, item := range got["items"].([]any) {
			one := item.(object)
			branch, _ := one["branch_id"].(string)
			ids = append(ids, one["condition_id"].(string)+branch)
		}
		next, _ = got["next_cursor"].(string)
		return ids, next, got["complete"].(bool)
	}
	first, next, complete := names(alarmsPath+"?limit=2", "")
	if strings.Join(first, " ") != "a ab" || next == "" || !complete {
		t.Errorf("the first page is %v, %q, %t", first, next, complete)
	}
	if rest, next, _ := names(alarmsPath+"?limit=2&cursor="+next, ""); strings.Join(rest, " ") != "c" || next != "" {
		t.Errorf("the second page is %v, %q", rest, next)
	}
	bound := f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M2"}}, mes.ScopeDataRead)
	if mine, _, _ := names(alarmsPath, bound); strings.Join(mine, " ") != "c" {
		t.Errorf("a key of M2 sees %v", mine)
	}
	f.get("/api/v1/adapters/opcua/none/alarms").wantProblem(http.StatusNotFound)
}

func TestAcknowledge(t *testing.T) {
	t.Parallel()
	f, p := alarmFixture(t)
	const body = `{"condition_id":"a","event_id":"AQ==","comment":"seen"}`
	bound := f.key(mes.Scope{Sites: []string{"main"}, Machines: []string{"M1"}}, mes.ScopeAlarmsWrite)
	for _, action := range mes.AlarmActions() {
		f.do(call{method: "POST", path: alarmsPath + "/" + string(action), body: body, key: bound}).want(http.StatusOK)
		got := p.asked[len(p.asked)-1]
		if got.Action != action || got.ConditionID != "a" || got.EventID != "AQ==" || got.Comment != "seen" || got.By == "" || len(got.Scope.Machines) != 1 {
			t.Errorf("%s asks for %+v", action, got)
		}
	}
	n := len(p.asked)
	f.do(call{method: "POST", path: alarmsPath + "/acknowledge", body: body, key: f.key(mes.Scope{}, mes.ScopeDataRead, mes.ScopeFloorWrite)}).wantProblem(http.StatusForbidden)
	for _, bad := range []string{`{"event_id":"AQ=="}`, `{"condition_id":"a"}`, `{"condition_id":"a","event_id":"?"}`,
		`{"condition_id":"a","event_id":"AQ==","comment":"` + strings.Repeat("x", 1025) + `"}`} {
		f.do(call{method: "POST", path: alarmsPath + "/acknowledge", body: bad, invalid: true}).wantProblem(http.StatusUnprocessableEntity)
	}
	f.do(call{method: "POST", path: alarmsPath + "/comment", body: `{"condition_id":"a","event_id":"AQ=="}`}).wantProblem(http.StatusUnprocessableEntity)
	if len(p.asked) != n {
		t.Errorf("what is refused was asked for: %+v", p.asked[n:])
	}
	p.fault = mes.Errorf(mes.CodeConflict, "the alarm is acknowledged already")
	f.do(call{method: "POST", path: alarmsPath + "/acknowledge", body: body}).wantProblem(http.StatusConflict)
}
