package api

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// EquipmentStore reads the hierarchy.
type EquipmentStore interface {
	// EquipmentList lists equipment by site and id.
	EquipmentList(ctx context.Context, filter mes.EquipmentFilter) ([]mes.Equipment, error)
	// Equipment fails with CodeNotFound if there is none.
	Equipment(ctx context.Context, siteID, id string) (mes.Equipment, error)
}

// equipmentBody is a node of the equipment hierarchy.
type equipmentBody struct {
	SiteID string `json:"site_id" example:"main" validate:"required"`
	ID     string `json:"id" example:"M001" validate:"required"`
	// Site and id, as other routes take them.
	Address string `json:"address" example:"main~M001" validate:"required"`
	Level   string `json:"level" enums:"enterprise,site,area,work_center,work_unit" example:"work_unit" validate:"required"`
	Name    string `json:"name,omitempty" example:"Press 1"`
	// Zone of a site.
	TimeZone string `json:"timezone,omitempty" example:"Asia/Kolkata"`
	// A first message made it, not a person.
	AutoRegistered bool      `json:"auto_registered" validate:"required"`
	CreatedAt      time.Time `json:"created_at" example:"2026-11-22T10:15:00Z" validate:"required"`
	// When its newest message came.
	LastReceivedAt *time.Time `json:"last_received_at,omitempty" example:"2026-11-22T10:15:00.412Z"`
	// Newest timestamp of its records.
	LastTimestamp *time.Time `json:"last_timestamp,omitempty" example:"2026-11-22T10:15:00Z"`
	// Protocols by which its records came.
	Sources []string `json:"sources" example:"rest" validate:"required"`
} //	@name	Equipment

func newEquipmentBody(e mes.Equipment) equipmentBody {
	b := equipmentBody{
		SiteID: e.SiteID, ID: e.ID, Address: e.SiteID + "~" + e.ID, Level: string(e.Level), Name: e.Name,
		TimeZone: e.TimeZone, AutoRegistered: e.AutoRegistered, CreatedAt: e.CreatedAt.UTC(),
		LastReceivedAt: optionalTime(e.LastReceivedAt), LastTimestamp: optionalTime(e.LastTime),
		Sources: make([]string, 0, len(e.Doors)),
	}
	for _, d := range e.Doors {
		b.Sources = append(b.Sources, string(d))
	}
	return b
}

// equipmentPosition is a node's place in the cursor of a list.
type equipmentPosition struct {
	SiteID string `json:"s"`
	ID     string `json:"i"`
}

// listEquipment lists equipment.
//
//	@Summary	List equipment
//	@Tags		equipment
//	@ID			listEquipment
//	@Security	ApiKey
//	@Produce	json
//	@Param		site_id	query		string	false	"site"
//	@Param		level	query		string	false	"level of the hierarchy"	Enums(enterprise, site, area, work_center, work_unit)
//	@Param		source	query		string	false	"protocol by which its records came"	Enums(rest, mqtt, opcua, import)
//	@Param		limit	query		int		false	"size of the page"	minimum(1)	maximum(1000)	default(100)
//	@Param		cursor	query		string	false	"next_cursor of the page before"
//	@Success	200		{object}	page[equipmentBody]
//	@Header		200		{string}	Link	"address of the next page"
//	@Failure	401,403,422,429,503	{object}	problemDocument
//	@Router		/api/v1/equipment [get]
func (a *API) listEquipment(c echo.Context) error {
	q := newQuery(c)
	limit := q.limit()
	filter := mes.EquipmentFilter{
		Scope: keyOf(c).Limit, SiteID: q.id("site_id"), Level: oneOf(q, "level", levels()),
		Door: oneOf(q, "source", mes.Doors()), Limit: limit + 1,
	}
	if p := cursorOf[equipmentPosition](q); p != nil {
		filter.AfterSiteID, filter.AfterID = p.SiteID, p.ID
	}
	if err := q.err(); err != nil {
		return err
	}
	found, err := a.deps.Store.EquipmentList(c.Request().Context(), filter)
	if err != nil {
		return err
	}
	return answerPage(c, q, found, limit, newEquipmentBody, func(e mes.Equipment) equipmentPosition {
		return equipmentPosition{e.SiteID, e.ID}
	})
}

func levels() []mes.Level {
	return []mes.Level{mes.LevelEnterprise, mes.LevelSite, mes.LevelArea, mes.LevelWorkCenter, mes.LevelWorkUnit}
}

// getEquipment returns one node.
//
//	@Summary	Read equipment
//	@Tags		equipment
//	@ID			getEquipment
//	@Security	ApiKey
//	@Produce	json
//	@Param		id	path		string	true	"id, or {site}~{id}; without a site it is of the key's site"	example(M001)
//	@Success	200	{object}	equipmentBody
//	@Failure	401,403,404,422,429,503	{object}	problemDocument
//	@Router		/api/v1/equipment/{id} [get]
func (a *API) getEquipment(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	e, err := a.equipment(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, newEquipmentBody(e))
}

// equipment returns the node that the path names, if the key may see it.
func (a *API) equipment(c echo.Context) (mes.Equipment, error) {
	key := keyOf(c)
	site, id := a.address(key, pathParam(c, "id"))
	for _, part := range []string{site, id} {
		if err := mes.CheckID(part); err != nil {
			return mes.Equipment{}, invalidParameter("id", "%s", err.Error())
		}
	}
	if !key.Limit.Allows(site, id) {
		return mes.Equipment{}, mes.Errorf(mes.CodeNotFound, "there is no equipment %q in site %q", id, site)
	}
	return a.deps.Store.Equipment(c.Request().Context(), site, id)
}
