package opcua

import (
	"context"
	"sync"
	"time"

	"github.com/gopcua/opcua"

	"plantgate/internal/mes"
	"plantgate/internal/opcua/alarm"
)

// alarms are those that there are now, for callers in other goroutines.
type alarms struct {
	table *alarm.Table

	mu sync.Mutex
	// client is that of the present session; nil while there is none.
	client *opcua.Client
}

func (a *alarms) attach(c *opcua.Client) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.client = c
}

func (a *alarms) session() *opcua.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.client
}

// detachAlarms is the end of the session: what alarms there are is not known any more.
func (s *session) detachAlarms() {
	if s.hasEvents() {
		s.a.alarms.attach(nil)
	}
}

// Alarms lists the alarms that there are now, as far as the server has told. It fails with
// CodeUnavailable while there is no session, and with CodeConflict where the configuration
// asks for no events.
func (a *Adapter) Alarms() (mes.Alarms, error) {
	if _, err := a.alarmSession(); err != nil {
		return mes.Alarms{}, err
	}
	return a.alarms.table.Present(), nil
}

func (a *Adapter) alarmSession() (*opcua.Client, error) {
	if len(a.notifiers) == 0 {
		return nil, mes.Errorf(mes.CodeConflict, "the connection %q has no events in its configuration", a.cfg.Name)
	}
	if c := a.alarms.session(); c != nil {
		return c, nil
	}
	s := a.Status()
	e := mes.Errorf(mes.CodeUnavailable, "the connection %q is %s, so that its alarms are not known", a.cfg.Name, s.State)
	e.RetryAfter = 5 * time.Second
	return nil, e
}

// ActOnAlarm acknowledges, confirms or comments on a present alarm, and audits it: on disk
// before it is tried. The error says what to do; what is only asked for and not allowed, or
// of no alarm, is audited too.
func (a *Adapter) ActOnAlarm(ctx context.Context, r mes.AlarmRequest) error {
	if a.deps.Audit == nil {
		return mes.Errorf(mes.CodeUnavailable, "no audit is kept, so that nobody may act on alarms")
	}
	one, fault := a.actable(r)
	entry, err := a.auditEntry(r, one)
	switch {
	case err != nil:
		return err
	case fault != nil:
		return a.refusedAction(ctx, entry, fault)
	}
	if _, err := a.deps.Audit.BeginAudit(ctx, entry, nil); err != nil {
		return err
	}
	entry.Result = beforeAction(one)
	entry.State, err = a.act(ctx, r, one)
	if err != nil {
		entry.Detail = err.Error()
	}
	a.finishAction(ctx, entry)
	return err
}

// actable finds the alarm, if the caller may act on it.
func (a *Adapter) actable(r mes.AlarmRequest) (mes.Alarm, error) {
	if _, err := a.alarmSession(); err != nil {
		return mes.Alarm{}, err
	}
	_, found := a.alarms.table.Find(r.ConditionID)
	var mine []mes.Alarm
	for _, one := range found {
		if r.Scope.Allows(one.SiteID, one.MachineID) {
			mine = append(mine, one)
		}
	}
	if len(mine) == 0 { // another's alarm is as unknown as none
		return mes.Alarm{}, mes.Errorf(mes.CodeNotFound, "there is no present alarm with this condition_id")
	}
	one := mine[0]
	for _, other := range mine {
		if other.EventID == r.EventID {
			one = other
		}
	}
	if !a.cfg.Acknowledge {
		return one, mes.Errorf(mes.CodeForbidden, "the configuration of the connection %q does not allow it: it lacks acknowledge: true", a.cfg.Name)
	}
	return one, nil
}

// act calls the server, and tells how it ended.
func (a *Adapter) act(ctx context.Context, r mes.AlarmRequest, one mes.Alarm) (mes.AuditState, error) {
	c, err := a.alarmSession()
	if err != nil {
		return mes.AuditFailed, err
	}
	node, _ := a.alarms.table.Find(one.ConditionID)
	if node == nil {
		return mes.AuditRefused, mes.Errorf(mes.CodeNotFound, "the alarm is gone")
	}
	eventID, err := alarm.ParseID(r.EventID)
	if err != nil {
		return mes.AuditRefused, mes.Invalid([]mes.FieldError{{Pointer: "/event_id", Detail: "must be base64"}})
	}
	// A caller who goes away does not stop it: its end is to be known.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.timing.link.Request)
	defer cancel()
	err = alarm.Act(ctx, c, r.Action, node, eventID, r.Comment)
	switch mes.ErrorCode(err) {
	case "":
		return mes.AuditDone, nil
	case mes.CodeInternal: // it may have been done
		return mes.AuditPartial, mes.Wrap(mes.CodeUnavailable, err, "the server did not answer: it may have done it; list the alarms to see")
	}
	return mes.AuditRefused, err
}
