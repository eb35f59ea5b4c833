package api

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// LatestStore reads newest values.
type LatestStore interface {
	// Latest lists newest values by site, machine and signal.
	Latest(ctx context.Context, filter mes.LatestFilter) ([]mes.Latest, error)
}

// latestBody is the newest value of one signal.
type latestBody struct {
	SiteID    string `json:"site_id" example:"main" validate:"required"`
	MachineID string `json:"machine_id" example:"M001" validate:"required"`
	// Name of the signal; status is what the machine is doing.
	Signal string    `json:"signal" example:"temperature" validate:"required"`
	Value  mes.Value `json:"value" swaggertype:"number" example:"72.31" validate:"required"`
	Unit   string    `json:"unit,omitempty" example:"Cel"`
	// When the value was new.
	Timestamp       time.Time `json:"timestamp" example:"2026-11-22T10:15:00Z" validate:"required"`
	TimestampOrigin string    `json:"timestamp_origin" enums:"source,server,receipt" example:"source" validate:"required"`
	ReceivedAt      time.Time `json:"received_at" example:"2026-11-22T10:15:00.412Z" validate:"required"`
	// OPC UA StatusCode; 0 is Good.
	StatusCode uint32 `json:"status_code" example:"0" validate:"required"`
	Quality    string `json:"quality" enums:"good,uncertain,bad" example:"good" validate:"required"`
	// Whether the source of the value is known to be gone (a Sparkplug node or device that
	// died): the value is the last one, not the present one.
	Stale bool `json:"stale" example:"false" validate:"required"`
	// Protocol it came by.
	Source   string `json:"source" enums:"rest,mqtt,opcua,import" example:"rest" validate:"required"`
	RecordID string `json:"record_id" example:"019aab1c-7d20-8c11-9e02-3f5a6b7c8d9e" format:"uuid" validate:"required"`
} //	@name	Latest

func newLatestBody(l mes.Latest) latestBody {
	return latestBody{
		SiteID: l.SiteID, MachineID: l.MachineID, Signal: l.Signal.Name, Value: l.Signal.Value, Unit: l.Signal.Unit,
		Timestamp: l.Time.UTC(), TimestampOrigin: string(l.TimeOrigin), ReceivedAt: l.ReceivedAt.UTC(),
		StatusCode: uint32(l.StatusCode), Quality: l.StatusCode.Severity(),
		Source: string(l.Door), RecordID: l.RecordID.String(),
	}
}

// latestPosition is a value's place in the cursor of a list.
type latestPosition struct {
	SiteID    string `json:"s"`
	MachineID string `json:"m"`
	Signal    string `json:"n"`
}

// listLatest lists the newest values of every machine.
//
//	@Summary	List newest values
//	@Tags		equipment
//	@ID			listLatest
//	@Security	ApiKey
//	@Produce	json
//	@Param		machine_id	query		string	false	"id of the machine, or {site}~{id}; without a site it is of the key's site"
//	@Param		machine		query		string	false	"the same as machine_id"
//	@Param		site_id		query		string	false	"site"
//	@Param		limit		query		int		false	"size of the page"	minimum(1)	maximum(1000)	default(100)
//	@Param		cursor		query		string	false	"next_cursor of the page before"
//	@Success	200			{object}	page[latestBody]
//	@Header		200			{string}	Link	"address of the next page"
//	@Failure	401,403,422,429,503	{object}	problemDocument
//	@Router		/api/v1/latest [get]
func (a *API) listLatest(c echo.Context) error {
	q, key := newQuery(c), keyOf(c)
	site, machine := a.machineFilter(q, key)
	return a.answerLatest(c, q, mes.LatestFilter{Scope: key.Limit, SiteID: site, MachineID: machine})
}

// listEquipmentLatest lists the newest values of one machine.
//
//	@Summary	List newest values of a machine
//	@Tags		equipment
//	@ID			listEquipmentLatest
//	@Security	ApiKey
//	@Produce	json
//	@Param		id		path		string	true	"id, or {site}~{id}; without a site it is of the key's site"	example(M001)
//	@Param		limit	query		int		false	"size of the page"	minimum(1)	maximum(1000)	default(100)
//	@Param		cursor	query		string	false	"next_cursor of the page before"
//	@Success	200		{object}	page[latestBody]
//	@Header		200		{string}	Link	"address of the next page"
//	@Failure	401,403,404,422,429,503	{object}	problemDocument
//	@Router		/api/v1/equipment/{id}/latest [get]
func (a *API) listEquipmentLatest(c echo.Context) error {
	e, err := a.equipment(c)
	if err != nil {
		return err
	}
	return a.answerLatest(c, newQuery(c), mes.LatestFilter{Scope: keyOf(c).Limit, SiteID: e.SiteID, MachineID: e.ID})
}

func (a *API) answerLatest(c echo.Context, q *query, filter mes.LatestFilter) error {
	limit := q.limit()
	if p := cursorOf[latestPosition](q); p != nil {
		filter.AfterSiteID, filter.AfterMachineID, filter.AfterSignalID = p.SiteID, p.MachineID, p.Signal
	}
	if err := q.err(); err != nil {
		return err
	}
	size := func(l mes.Latest) int { return len(l.Signal.Value.Text()) }
	found, limit, err := readPage(limit, size, func(last *mes.Latest, n int) ([]mes.Latest, error) {
		if last != nil {
			filter.AfterSiteID, filter.AfterMachineID, filter.AfterSignalID = last.SiteID, last.MachineID, last.Signal.Name
		}
		filter.Limit = n
		return a.deps.Store.Latest(c.Request().Context(), filter)
	})
	if err != nil {
		return err
	}
	gone, err := a.goneMachines(c.Request().Context(), found)
	if err != nil {
		return err
	}
	body := func(l mes.Latest) latestBody {
		b := newLatestBody(l)
		b.Stale = l.Door == mes.DoorMQTT && l.Signal.Name != mes.SignalSparkplugOnline && gone[[2]string{l.SiteID, l.MachineID}]
		return b
	}
	return answerPage(c, q, found, limit, body, func(l mes.Latest) latestPosition {
		return latestPosition{l.SiteID, l.MachineID, l.Signal.Name}
	})
}

// goneMachines tells by site and machine whose Sparkplug node or device is not there, of
// those whose values came by MQTT.
func (a *API) goneMachines(ctx context.Context, values []mes.Latest) (map[[2]string]bool, error) {
	machines := map[string][]string{}
	for i := range values {
		v := &values[i]
		// Values are sorted by site and machine.
		if list := machines[v.SiteID]; v.Door == mes.DoorMQTT && (len(list) == 0 || list[len(list)-1] != v.MachineID) {
			machines[v.SiteID] = append(list, v.MachineID)
		}
	}
	gone := map[[2]string]bool{}
	for site, list := range machines {
		states, err := a.deps.Store.Latest(ctx, mes.LatestFilter{
			SiteID: site, Scope: mes.Scope{Machines: list}, Signal: mes.SignalSparkplugOnline, Limit: len(list),
		})
		if err != nil {
			return nil, err
		}
		for _, s := range states {
			if s.Signal.Value == mes.Bool(false) {
				gone[[2]string{s.SiteID, s.MachineID}] = true
			}
		}
	}
	return gone, nil
}
