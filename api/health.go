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
	// this server keeps what comes in; unready where the store can't be used, or a
	// connection is down that the configuration requires.
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
	State string `json:"state" enums:"connecting,running,degraded,stale,backing_off,refused,stopped,standby" example:"running" validate:"required"`
	// Whether the server is unready while it is down (readiness.adapters, required).
	Required bool `json:"required,omitempty" example:"false"`
} //	@name	AdapterSummary

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
//	@Description	503 while the store is away, its schema is not the program's, or the disk has no room for what comes in. A connection to the floor that is down makes the server degraded, not unready, unless readiness.adapters or the connection's own "required" says otherwise; so does a shared database that is away, or whose schema was changed under the server, as long as this server has room for what comes in.
//	@Tags			operation
//	@ID				getReadiness
//	@Produce		json
//	@Success		200	{object}	readinessBody
//	@Failure		503	{object}	readinessBody
//	@Router			/readyz [get]
func (a *API) getReadiness(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	body := readinessBody{Status: ready, Store: storeReadiness{Ready: true}, Adapters: []adapterSummary{}}
	status := http.StatusOK
	for _, s := range a.deps.Adapters() {
		summary := newAdapterSummary(s)
		summary.Required = a.settings.Readiness.isRequired(s)
		body.Adapters = append(body.Adapters, summary)
		switch verdict := a.settings.Readiness.judge(s); {
		case verdict == unready:
			status, body.Status = http.StatusServiceUnavailable, unready
		case verdict == degraded && body.Status == ready:
			body.Status = degraded
		}
	}
	err := a.deps.Store.Ping(ctx)
	if err == nil {
		err = a.deps.Store.CheckSchema(ctx)
	}
	if err == nil && a.deps.Refused != nil {
		err = a.deps.Refused()
	}
	var waiting Backlog
	if a.deps.Backlog != nil {
		waiting = a.deps.Backlog()
	}
	switch {
	case err == nil:
	// One that does not answer in time is away as well.
	case (errors.Is(err, mes.ErrStoreAway) || ctx.Err() != nil) && waiting.Room:
		body.Store = storeReadiness{Detail: readyDetail(err)}
		if body.Status == ready {
			body.Status = degraded
		}
	default:
		status = http.StatusServiceUnavailable
		body.Status, body.Store = unready, storeReadiness{Detail: readyDetail(err)}
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
