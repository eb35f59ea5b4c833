package app

import (
	"context"
	"time"

	"plantgate/internal/mes"
)

// alarmed is a connection that knows alarms.
type alarmed interface {
	Alarms() (mes.Alarms, error)
	ActOnAlarm(ctx context.Context, r mes.AlarmRequest) error
}

var _ alarmed = bridged{}

// alarms finds the alarms of connections for the API.
type alarms struct{ app *App }

func (a alarms) Alarms(_ context.Context, connection string) (mes.Alarms, error) {
	c, err := a.connection(connection)
	if err != nil {
		return mes.Alarms{}, err
	}
	return c.Alarms()
}

func (a alarms) ActOnAlarm(ctx context.Context, connection string, r mes.AlarmRequest) error {
	c, err := a.connection(connection)
	if err != nil {
		a.app.explorer.Refused(ctx, r.Action.Audited(), connection, mes.UACaller{KeyID: r.By, Scope: r.Scope, Reason: r.Comment}, err)
		return err
	}
	return c.ActOnAlarm(ctx, r)
}

func (a alarms) connection(name string) (alarmed, error) {
	for _, ad := range a.app.adapters {
		if s := ad.Status(); s.Door != mes.DoorOPCUA || s.Name != name {
			continue
		}
		if owned, ok := ad.(*ownedConnection); ok {
			var err error
			if ad, err = owned.here(); err != nil {
				return nil, err
			}
		}
		if c, ok := ad.(alarmed); ok {
			return c, nil
		}
	}
	return nil, mes.Errorf(mes.CodeNotFound, "there is no OPC UA connection %q", name)
}

// here is the connection while this server has it; otherwise the error says who has.
func (c *ownedConnection) here() (adapter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		return c.current, nil
	}
	e := mes.Errorf(mes.CodeUnavailable, "this server does not have the connection %q: %s", c.name, c.whoHasIt())
	e.RetryAfter = 5 * time.Second
	return nil, e
}
