package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"plantgate/internal/mes"
)

// ReadyStore tells whether the store can be used.
type ReadyStore interface {
	// Ping fails if the store is away.
	Ping(ctx context.Context) error
	// CheckSchema fails if the schema is not the program's; the message says
	// what an operator has to do. If it was, the error is mes.ErrStoreAway.
	CheckSchema(ctx context.Context) error
}

// Backlog is what waits on this server for a shared database.
type Backlog struct {
	Records int64
	// Room tells whether there is room for more while the database is away.
	Room bool
	// Oldest is when the oldest of it was received that the database did not take at the
	// last attempt, and Refusal why; zero and "" if that went well.
	Oldest  time.Time
	Refusal string
	// Attempts counts those in succession that the database did not take.
	Attempts int64
}

// readyTimeout bounds how long the store may take to say that it is there.
const readyTimeout = 2 * time.Second

// healthBody says that the process is alive.
type healthBody struct {
	Status  string `json:"status" enums:"ok" example:"ok" validate:"required"`
	Version string `json:"version,omitempty" example:"1.0.0"`
} //	@name	Health

// readinessBody says whether the server can do its work.
type readinessBody struct {
	// ready; degraded where a connection to the floor is down, or the shared database while
	// this server keeps what comes in; unready where the store can't be used.
	Status   string           `json:"status" enums:"ready,degraded,unready" example:"ready" validate:"required"`
	Store    storeReadiness   `json:"store" validate:"required"`
	Adapters []adapterSummary `json:"adapters" validate:"required"`
} //	@name	Readiness

// storeReadiness says whether the store can be used.
type storeReadiness struct {
	Ready bool `json:"ready" validate:"required"`
	// What an operator has to do.
	Detail string `json:"detail,omitempty"`
	// Records that wait on this server for the shared database.
	Waiting int64 `json:"waiting,omitempty" example:"0"`
	// When the oldest of them was received that the database did not take at the last attempt.
	WaitingSince *time.Time `json:"waiting_since,omitempty" example:"2026-11-22T10:15:00Z"`
	// Why it did not, and how many attempts in succession.
	Refusal  string `json:"refusal,omitempty"`
	Attempts int64  `json:"attempts,omitempty" example:"0"`
} //	@name	StoreReadiness

// adapterSummary is what anybody may know of a connection to the floor.
type adapterSummary struct {
	Door  string `json:"door" enums:"mqtt,opcua" example:"mqtt" validate:"required"`
	Name  string `json:"name" example:"line-1" validate:"required"`
	State string `json:"state" enums:"connecting,running,degraded,backing_off,refused,stopped,standby" example:"running" validate:"required"`
} //	@name	AdapterSummary

// adapterBody is a connection to the floor.
type adapterBody struct {
	adapterSummary
	// When the state began.
	Since time.Time `json:"since" example:"2026-11-22T10:15:00Z" validate:"required"`
	// Why it is in this state.
	Detail string `json:"detail,omitempty"`
	// When the newest message came.
	LastMessage *time.Time `json:"last_message,omitempty" example:"2026-11-22T10:15:00.412Z"`
	// Counts since the start of the server.
	Received    int64 `json:"received" example:"1201" validate:"required"`
	Quarantined int64 `json:"quarantined" example:"0" validate:"required"`
	Reconnects  int64 `json:"reconnects" example:"0" validate:"required"`
} //	@name	Adapter

// getHealth says that the process is alive.
//
//	@Summary	Tell whether the process is alive
//	@Tags		operation
//	@ID			getHealth
//	@Produce	json
//	@Success	200	{object}	healthBody
//	@Router		/healthz [get]
func (a *API) getHealth(c echo.Context) error {
	return c.JSON(http.StatusOK, healthBody{Status: "ok", Version: a.settings.Version})
}

// getReadiness says whether the server can do its work.
//
//	@Summary		Tell whether the server is ready
//	@Description	503 while the store is away or its schema is not the program's. A connection to the floor that is down makes the server degraded, not unready; so does a shared database that is away, or whose schema was changed under the server, as long as this server has room for what comes in.
//	@Tags			operation
//	@ID				getReadiness
//	@Produce		json
//	@Success		200	{object}	readinessBody
//	@Failure		503	{object}	readinessBody
//	@Router			/readyz [get]
func (a *API) getReadiness(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	body := readinessBody{Status: "ready", Store: storeReadiness{Ready: true}, Adapters: []adapterSummary{}}
	for _, s := range a.deps.Adapters() {
		body.Adapters = append(body.Adapters, newAdapterSummary(s))
		if s.State != mes.AdapterRunning {
			body.Status = "degraded"
		}
	}
	status := http.StatusOK
	err := a.deps.Store.Ping(ctx)
	if err == nil {
		err = a.deps.Store.CheckSchema(ctx)
	}
	var waiting Backlog
	if a.deps.Backlog != nil {
		waiting = a.deps.Backlog()
	}
	switch {
	case err == nil:
	// One that does not answer in time is away as well.
	case (errors.Is(err, mes.ErrStoreAway) || ctx.Err() != nil) && waiting.Room:
		body.Status, body.Store = "degraded", storeReadiness{Detail: readyDetail(err)}
	default:
		status = http.StatusServiceUnavailable
		body.Status, body.Store = "unready", storeReadiness{Detail: readyDetail(err)}
	}
	body.Store.Waiting, body.Store.WaitingSince = waiting.Records, optionalTime(waiting.Oldest)
	body.Store.Refusal, body.Store.Attempts = waiting.Refusal, waiting.Attempts
	return c.JSON(status, body)
}

// readyDetail keeps the text of a driver's error from the public.
func readyDetail(err error) string {
	var fault *mes.Error
	if errors.As(err, &fault) {
		return fault.Message
	}
	return "the store does not answer"
}

func newAdapterSummary(s mes.AdapterStatus) adapterSummary {
	return adapterSummary{Door: string(s.Door), Name: s.Name, State: string(s.State)}
}

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
	answer := page[adapterBody]{Items: []adapterBody{}}
	for _, s := range a.deps.Adapters() {
		answer.Items = append(answer.Items, adapterBody{
			adapterSummary: newAdapterSummary(s), Since: s.Since.UTC(), Detail: s.Detail,
			LastMessage: optionalTime(s.LastMessage),
			Received:    s.Received, Quarantined: s.Quarantined, Reconnects: s.Reconnects,
		})
	}
	return c.JSON(http.StatusOK, answer)
}

// MetricsHandler shows metrics without a key, for a listener of their own.
func MetricsHandler(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{})
}

// getMetrics shows metrics.
//
//	@Summary	Show metrics in the format of Prometheus
//	@Tags		operation
//	@ID			getMetrics
//	@Security	ApiKey
//	@Produce	plain
//	@Success	200	{string}	string
//	@Failure	401,403,429,503	{object}	problemDocument
//	@Router		/metrics [get]
func (a *API) getMetrics(c echo.Context) error {
	MetricsHandler(a.deps.Gatherer).ServeHTTP(c.Response(), c.Request())
	return nil
}
