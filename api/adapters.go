package api

import (
	"math"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// flowBody is what comes by a connection or by one of its subscriptions.
type flowBody struct {
	// When the newest message came, and how many seconds ago that is.
	LastMessage       *time.Time `json:"last_message,omitempty" example:"2026-11-22T10:15:00.412Z"`
	LastMessageAgeSec *float64   `json:"last_message_age_seconds,omitempty" example:"0.8"`
	// Messages a second over the last minute; of OPC UA values.
	Rate float64 `json:"rate" example:"20.1" validate:"required"`
	// Counts since the start of the server.
	Received    int64 `json:"received" example:"1201" validate:"required"`
	Quarantined int64 `json:"quarantined" example:"0" validate:"required"`
	// Messages that are received and not yet stored; the broker has no acknowledgement of them.
	InHand int64 `json:"in_hand" example:"0" validate:"required"`
	// From the time of the source to the commit; missing where no record had such a time.
	Lag *lagBody `json:"lag,omitempty"`
} //	@name	Flow

// lagBody is how long records were on the way.
type lagBody struct {
	// Of the newest record, in seconds.
	LastSeconds float64 `json:"last_seconds" example:"0.041" validate:"required"`
	// What 99 of 100 of the last 256 records do not exceed, in seconds.
	P99Seconds float64 `json:"p99_seconds" example:"0.12" validate:"required"`
} //	@name	Lag

// bindingBody is a subscription of a connection.
type bindingBody struct {
	// The topic filter as configured.
	Name string `json:"name" example:"plant/{machine}/data" validate:"required"`
	// limited: the broker grants QoS 0 only, so that messages may be lost; waiting: there is no connection or no answer yet.
	State string `json:"state" enums:"waiting,granted,limited,refused" example:"granted" validate:"required"`
	// When the state began.
	Since time.Time `json:"since" example:"2026-11-22T10:15:00Z" validate:"required"`
	flowBody
} //	@name	Binding

// adapterBody is a connection to the floor.
type adapterBody struct {
	adapterSummary
	// When the state began.
	Since time.Time `json:"since" example:"2026-11-22T10:15:00Z" validate:"required"`
	// Why it is in this state.
	Detail string `json:"detail,omitempty"`
	flowBody
	Reconnects int64 `json:"reconnects" example:"0" validate:"required"`
	// Messages of MQTT that came again and were known, and retained ones that were no news: they were not stored again.
	Repeated int64 `json:"repeated" example:"0" validate:"required"`
	// Messages that may have come before and are stored: nothing tells them apart.
	Doubtful int64 `json:"doubtful" example:"0" validate:"required"`
	// Connects at which the broker had lost the session, and with it what it kept.
	SessionsLost int64 `json:"sessions_lost" example:"0" validate:"required"`
	// Nodes of OPC UA of which values may be missing that are still looked for in the server's history.
	GapsOpen int `json:"gaps_open" example:"0" validate:"required"`
	// Values that were found in the history of an OPC UA server and were not there.
	Backfilled int64 `json:"backfilled" example:"0" validate:"required"`
	// Records (Event) that say that values of OPC UA may be lost.
	Gaps int64 `json:"gaps" example:"0" validate:"required"`
	// By how many sessions an OPC UA server is read; each has a subscription with a part of the nodes.
	Sessions int `json:"sessions" example:"1" validate:"required"`
	// Sessions that bring values.
	SessionsUp int `json:"sessions_up" example:"1" validate:"required"`
	// Nodes that are read of an OPC UA server.
	Nodes int `json:"nodes" example:"120" validate:"required"`
	// Nodes that the server refuses, or does not have.
	NodesBad int `json:"nodes_bad" example:"0" validate:"required"`
	// The certificates by which a connection to an OPC UA server is made.
	Certificates []certificateEndBody `json:"certificates" validate:"required"`
	// The subscriptions, in configured order.
	Bindings []bindingBody `json:"bindings" validate:"required"`
} //	@name	Adapter

// certificateEndBody tells until when a certificate is valid.
type certificateEndBody struct {
	// client is plantgate's own.
	Use string `json:"use" enums:"client,user,server" example:"client" validate:"required"`
	// Until when it is valid.
	NotAfter time.Time `json:"not_after" example:"2036-11-22T10:15:00Z" validate:"required"`
	// Whole days that are left; negative once it has expired.
	DaysLeft int `json:"days_left" example:"3651" validate:"required"`
} //	@name	CertificateEnd

// listAdapters lists the connections to the floor.
//
//	@Summary	List connections to the floor
//	@Tags		operation
//	@ID			listAdapters
//	@Security	ApiKey
//	@Produce	json
//	@Success	200	{object}	page[adapterBody]
//	@Failure	401,403,422,429,503	{object}	problemDocument
//	@Router		/api/v1/adapters [get]
func (a *API) listAdapters(c echo.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	now := a.deps.Clock()
	answer := page[adapterBody]{Items: []adapterBody{}}
	for _, s := range a.deps.Adapters() {
		body := adapterBody{
			adapterSummary: newAdapterSummary(s), Since: s.Since.UTC(), Detail: s.Detail, flowBody: newFlow(s.Flow, now),
			Reconnects: s.Reconnects, Repeated: s.Repeated, Doubtful: s.Doubtful, SessionsLost: s.SessionsLost,
			GapsOpen: s.GapsOpen, Backfilled: s.Backfilled, Gaps: s.Gaps,
			Sessions: s.Sessions, SessionsUp: s.SessionsUp, Nodes: s.Nodes, NodesBad: s.NodesBad,
			Certificates: []certificateEndBody{}, Bindings: []bindingBody{},
		}
		for _, e := range s.Certificates {
			body.Certificates = append(body.Certificates, certificateEndBody{Use: string(e.Use), NotAfter: e.NotAfter.UTC(), DaysLeft: e.Days(now)})
		}
		body.Required = a.settings.Readiness.isRequired(s)
		for _, b := range s.Bindings {
			body.Bindings = append(body.Bindings, bindingBody{
				Name: b.Name, State: string(b.State), Since: b.Since.UTC(), flowBody: newFlow(b.Flow, now),
			})
		}
		answer.Items = append(answer.Items, body)
	}
	return c.JSON(http.StatusOK, answer)
}

func newFlow(f mes.Flow, now time.Time) flowBody {
	body := flowBody{
		LastMessage: optionalTime(f.LastMessage), Rate: rounded(f.Rate),
		Received: f.Received, Quarantined: f.Quarantined, InHand: f.InHand,
	}
	if !f.LastMessage.IsZero() {
		age := rounded(max(now.Sub(f.LastMessage), 0).Seconds())
		body.LastMessageAgeSec = &age
	}
	if f.Lag.Count > 0 {
		body.Lag = &lagBody{LastSeconds: rounded(f.Lag.Last.Seconds()), P99Seconds: rounded(f.Lag.P99.Seconds())}
	}
	return body
}

// rounded keeps three digits after the point.
func rounded(x float64) float64 { return math.Round(x*1000) / 1000 }
