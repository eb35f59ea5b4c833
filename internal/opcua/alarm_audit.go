package opcua

import (
	"context"
	"encoding/json"
	"time"

	"plantgate/internal/mes"
)

// Audit keeps what people do to the floor.
type Audit interface {
	// BeginAudit stores an entry, durably.
	BeginAudit(ctx context.Context, e mes.AuditEntry, key *mes.Idempotency) (mes.ID, error)
	// FinishAudit notes what came of an action that was begun.
	FinishAudit(ctx context.Context, id mes.ID, state mes.AuditState, at time.Time, detail string, result []byte) error
}

// auditTime bounds one note in the audit.
const auditTime = 10 * time.Second

// auditEntry is the entry that an action on an alarm begins with; one is zero where there is
// no such alarm.
func (a *Adapter) auditEntry(r mes.AlarmRequest, one mes.Alarm) (mes.AuditEntry, error) {
	e := mes.AuditEntry{
		ID: mes.NewID(), Action: r.Action.Audited(), Connection: a.cfg.Name, State: mes.AuditPending,
		CreatedAt: mes.Micros(a.deps.Now()), CreatedBy: r.By, Reason: r.Comment,
	}
	var err error
	e.Request, err = json.Marshal(auditedRequest{r.ConditionID, r.EventID, r.Comment, one.SiteID, one.MachineID})
	return e, err
}

// auditedRequest is what was asked for, and of whose alarm.
type auditedRequest struct {
	ConditionID string `json:"condition_id"`
	EventID     string `json:"event_id"`
	Comment     string `json:"comment,omitempty"`
	SiteID      string `json:"site_id,omitempty"`
	MachineID   string `json:"machine_id,omitempty"`
}

// alarmState is the state of an alarm before an action, as the audit keeps it.
type alarmState struct {
	EventID      string `json:"event_id"`
	Message      string `json:"message,omitempty"`
	Active       *bool  `json:"active,omitempty"`
	Acknowledged *bool  `json:"acknowledged,omitempty"`
	Confirmed    *bool  `json:"confirmed,omitempty"`
	Comment      string `json:"comment,omitempty"`
}

// beforeAction is JSON of the state before an action.
func beforeAction(one mes.Alarm) []byte {
	b, err := json.Marshal(map[string]alarmState{
		"before": {one.EventID, one.Message, one.Active, one.Acked, one.Confirmed, one.Comment},
	})
	if err != nil {
		return nil
	}
	return b
}

// refusedAction audits an action that changed nothing, and returns its fault.
func (a *Adapter) refusedAction(ctx context.Context, e mes.AuditEntry, fault error) error {
	e.State, e.FinishedAt, e.Detail = mes.AuditRefused, e.CreatedAt, fault.Error()
	if code := mes.ErrorCode(fault); code == mes.CodeUnavailable || code == mes.CodeInternal {
		e.State = mes.AuditFailed
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
	defer cancel()
	if _, err := a.deps.Audit.BeginAudit(ctx, e, nil); err != nil {
		a.deps.Logger.Error("opcua: a refused action on an alarm was not noted in the audit", "action", e.Action, "key", e.CreatedBy, "error", err)
	}
	return fault
}

// finishAction notes the end of an action. What was done is done: a failure is for the log,
// and the entry stays pending.
func (a *Adapter) finishAction(ctx context.Context, e mes.AuditEntry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
	defer cancel()
	if err := a.deps.Audit.FinishAudit(ctx, e.ID, e.State, mes.Micros(a.deps.Now()), e.Detail, e.Result); err != nil {
		a.deps.Logger.Error("opcua: the end of an action on an alarm was not noted in the audit", "audit_id", e.ID.String(),
			"state", string(e.State), "error", err)
	}
}
