package explore

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/gopcua/opcua/ua"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// action is a request that acts on the floor: what all kinds have in common.
type action[T any] struct {
	name, connection string
	caller           mes.UACaller
	request          any
	// prepare reads what is needed and makes values; what it fails with changed nothing.
	prepare func(ctx context.Context, c *connection, s *Session) error
	// carryOut acts, and tells whether the session is dead then.
	carryOut func(ctx context.Context, s *Session) (isBroken bool)
	// results are those of now; before the action they have the old values.
	results func() []T
	outcome func(T) mes.UAOutcome
}

// Write writes values to variables of the allow-list, and notes that in the audit: on disk
// before it is tried. Errors say that nothing was written; then they are audited as well.
// What became of each write stands in the results.
func (s *Service) Write(ctx context.Context, name string, items []mes.UAWrite, caller mes.UACaller) (mes.UAAction[mes.UAWritten], error) {
	var plan []plannedWrite
	a := action[mes.UAWritten]{
		name: mes.AuditOPCUAWrite, connection: name, caller: caller, request: map[string]any{"items": items},
		prepare: func(ctx context.Context, c *connection, session *Session) error {
			refusals := map[int]error{}
			for i, item := range items {
				if err := c.writable(session, item.Node, caller.Scope); err != nil {
					refusals[i] = err
				}
			}
			if len(refusals) > 0 {
				return forbidden(refusals, "node", "written")
			}
			var faults map[int]error
			var err error
			if plan, faults, err = session.planWrites(ctx, items, jsonValues(items)); err != nil {
				return err
			}
			if len(faults) > 0 {
				return invalidItems(faults, "value")
			}
			return nil
		},
		carryOut: func(ctx context.Context, session *Session) bool { return session.carryOut(ctx, plan) },
		results:  func() []mes.UAWritten { return written(plan) },
		outcome:  func(w mes.UAWritten) mes.UAOutcome { return w.Outcome },
	}
	for i, item := range items {
		if err := config.CheckNodeID(item.Node); err != nil {
			return mes.UAAction[mes.UAWritten]{}, mes.Invalid([]mes.FieldError{{Pointer: fmt.Sprintf("/items/%d/node", i), Detail: err.Error()}})
		}
	}
	return act(ctx, s, &a)
}

// Call calls methods of the allow-list, one after the other; see Write.
func (s *Service) Call(ctx context.Context, name string, items []mes.UACall, caller mes.UACaller) (mes.UAAction[mes.UACalled], error) {
	plan := make([]plannedCall, len(items))
	a := action[mes.UACalled]{
		name: mes.AuditOPCUACall, connection: name, caller: caller, request: map[string]any{"items": items},
		prepare: func(ctx context.Context, c *connection, session *Session) error {
			return planCalls(ctx, c, session, items, caller.Scope, plan)
		},
		carryOut: func(ctx context.Context, session *Session) bool { return callAll(ctx, session, plan) },
		results: func() []mes.UACalled {
			results := make([]mes.UACalled, len(plan))
			for i := range plan {
				results[i] = plan[i].result
			}
			return results
		},
		outcome: func(c mes.UACalled) mes.UAOutcome { return c.Outcome },
	}
	for i, item := range items {
		for member, node := range map[string]string{"object": item.Object, "method": item.Method} {
			if err := config.CheckNodeID(node); err != nil {
				return mes.UAAction[mes.UACalled]{}, mes.Invalid([]mes.FieldError{{Pointer: fmt.Sprintf("/items/%d/%s", i, member), Detail: err.Error()}})
			}
		}
	}
	return act(ctx, s, &a)
}

func planCalls(ctx context.Context, c *connection, session *Session, items []mes.UACall, scope mes.Scope, plan []plannedCall) error {
	refusals, faults := map[int]error{}, map[int]error{}
	for i, item := range items {
		if err := c.callable(session, item, scope); err != nil {
			refusals[i] = err
		}
	}
	if len(refusals) > 0 {
		return forbidden(refusals, "method", "called")
	}
	for i, item := range items {
		values := make([]Value, len(item.Arguments))
		for k, argument := range item.Arguments {
			values[k] = fromJSON(argument)
		}
		var fault, err error
		if plan[i], fault, err = session.planCall(ctx, item, values); err != nil {
			return err
		}
		if fault != nil {
			faults[i] = fault
		}
	}
	if len(faults) > 0 {
		return invalidItems(faults, "arguments")
	}
	return nil
}

// callAll ends with the first call that no answer came for.
func callAll(ctx context.Context, session *Session, plan []plannedCall) (isBroken bool) {
	for i := range plan {
		if isBroken {
			r := &plan[i].result
			r.Outcome, r.UAStatus = mes.UARefused, status(ua.StatusBadServerNotConnected)
			r.Detail = "it was not tried: the connection was lost before"
			continue
		}
		isBroken = session.call(ctx, &plan[i])
	}
	return isBroken
}

// forbidden names the items of a request that may not be carried out, and thereby all of it.
func forbidden(refusals map[int]error, member, done string) error {
	e := mes.Errorf(mes.CodeForbidden, "nothing was %s: %d of the items may not be", done, len(refusals))
	for i := range maxItems {
		if err := refusals[i]; err != nil {
			e.Fields = append(e.Fields, mes.FieldError{Pointer: fmt.Sprintf("/items/%d/%s", i, member), Detail: err.Error()})
		}
	}
	return e
}

// act carries an action out, once for each idempotency key, and audits it.
func act[T any](ctx context.Context, s *Service, a *action[T]) (done mes.UAAction[T], err error) {
	if a.caller.Key != nil {
		id, err := s.deps.Audit.MadeByRequest(ctx, *a.caller.Key, mes.Micros(s.deps.Now()))
		switch {
		case err != nil:
			return done, err
		case !id.IsZero():
			return answered[T](ctx, s, id)
		}
	}
	c, err := s.find(a.connection) // what the caller may act on is told by the allow-list
	if err != nil {
		return done, s.refuse(ctx, a.entry(s), err)
	}
	limited, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	prepared := false
	err = c.use(limited, func(session *Session) error {
		prepared = false // it may be tried once more by a new session
		if err := a.prepare(limited, c, session); err != nil {
			return err
		}
		prepared = true // from here on a failure is the store's
		entry := a.entry(s)
		entry.Result = itemsJSON(a.results())
		id, err := s.deps.Audit.BeginAudit(limited, entry, a.caller.Key)
		switch {
		case err != nil:
			return err
		case id != entry.ID: // the same request came a moment before
			done, err = answered[T](ctx, s, id)
			return err
		}
		done = a.finish(ctx, s, session, id)
		return nil
	})
	if err != nil && !prepared {
		return done, s.refuse(ctx, a.entry(s), err)
	}
	return done, err
}

// finish acts and notes what came of it, also where the caller is gone meanwhile.
func (a *action[T]) finish(ctx context.Context, s *Service, session *Session, id mes.ID) mes.UAAction[T] {
	ctx = context.WithoutCancel(ctx)
	acting, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	if a.carryOut(acting, session) {
		session.lost.Store(true)
	}
	done := mes.UAAction[T]{AuditID: id, Items: a.results(), Complete: true}
	state, some := mes.AuditRefused, false
	for _, item := range done.Items {
		outcome := a.outcome(item)
		done.Complete = done.Complete && outcome == mes.UADone
		some = some || outcome != mes.UARefused
	}
	switch {
	case done.Complete:
		state = mes.AuditDone
	case some:
		state = mes.AuditPartial
	}
	s.note(ctx, id, state, itemsJSON(done.Items))
	return done
}

// note finishes an entry. What was done is done: a failure is for the log, and the entry
// stays pending.
func (s *Service) note(ctx context.Context, id mes.ID, state mes.AuditState, result []byte) {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	if err := s.deps.Audit.FinishAudit(ctx, id, state, mes.Micros(s.deps.Now()), "", result); err != nil {
		s.deps.Logger.Error("opcua: the result of an action was not noted in the audit", slog.String("audit_id", id.String()),
			slog.String("state", string(state)), slog.Any("error", err))
	}
}

// entry is the audit entry that the action begins with.
func (a *action[T]) entry(s *Service) mes.AuditEntry {
	request, err := json.Marshal(a.request)
	if err != nil { // a value that is no JSON
		request = nil
	}
	return mes.AuditEntry{
		ID: mes.NewID(), Action: a.name, Connection: a.connection, State: mes.AuditPending, CreatedAt: mes.Micros(s.deps.Now()),
		CreatedBy: a.caller.KeyID, Reason: a.caller.Reason, Request: request,
	}
}

// refuse audits an action that changed nothing, and returns its fault.
func (s *Service) refuse(ctx context.Context, e mes.AuditEntry, fault error) error {
	e.State, e.FinishedAt, e.Detail = mes.AuditRefused, e.CreatedAt, fault.Error()
	if code := mes.ErrorCode(fault); code == mes.CodeUnavailable || code == mes.CodeInternal {
		e.State = mes.AuditFailed
	}
	if s.connections[e.Connection] == nil { // the detail has what was given for it
		e.Connection = ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
	defer cancel()
	if _, err := s.deps.Audit.BeginAudit(ctx, e, nil); err != nil {
		s.deps.Logger.Error("opcua: a refused action was not noted in the audit", slog.String("action", e.Action),
			slog.String("connection", e.Connection), slog.String("key", e.CreatedBy), slog.Any("error", err))
	}
	return fault
}

// Refused audits an action that the API refused before it came here.
func (s *Service) Refused(ctx context.Context, name, connection string, caller mes.UACaller, fault error) {
	e := mes.AuditEntry{
		ID: mes.NewID(), Action: name, Connection: connection, CreatedAt: mes.Micros(s.deps.Now()), CreatedBy: caller.KeyID, Reason: caller.Reason,
	}
	_ = s.refuse(ctx, e, fault)
}

// answered is the answer to a request that was made before.
func answered[T any](ctx context.Context, s *Service, id mes.ID) (done mes.UAAction[T], err error) {
	e, err := s.deps.Audit.AuditEntry(ctx, id)
	if err != nil {
		return done, err
	}
	if e.State == mes.AuditPending {
		return done, mes.Errorf(mes.CodeConflict, "the request with this Idempotency-Key was begun, and its end is not known (audit entry %s): "+
			"look at what it did, and use another key to do it again", id)
	}
	var result struct {
		Items []T `json:"items"`
	}
	if err := json.Unmarshal(e.Result, &result); err != nil {
		return done, fmt.Errorf("the audit entry %s can't be read: %w", id, err)
	}
	return mes.UAAction[T]{AuditID: id, Items: result.Items, Complete: e.State == mes.AuditDone}, nil
}

func itemsJSON[T any](items []T) []byte {
	b, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		return nil
	}
	return b
}

// auditTime bounds one note in the audit.
const auditTime = 10 * time.Second
