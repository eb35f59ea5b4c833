package api

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// Deps are what the HTTP interface calls. All are required but Patient, Clock,
// Logger, Registerer, Gatherer, Adapters, Samples, OPCUA and Alarms.
type Deps struct {
	Auth     Authenticator
	Decoder  Decoder
	Ingester ingest.Ingester
	// Patient waits for room, for the later parts of a batch whose first was taken;
	// it is Ingester where it is nil.
	Patient    ingest.Ingester
	Quarantine Quarantine
	Commands   Commands
	Store      Store
	Series     SeriesReader
	// Backlog tells what waits on this server for a shared database; nil where nothing
	// can wait.
	Backlog func() Backlog
	// Refused tells why nothing can be stored, as on a full disk; nil where the store
	// tells itself.
	Refused func() error
	// Adapters returns the state of every MQTT and OPC UA connection.
	Adapters func() []mes.AdapterStatus
	// Samples tries MQTT messages; nil where there are no connections.
	Samples SampleTester
	// Certificates has those of OPC UA servers of which somebody has to decide; nil where
	// there are none.
	Certificates Certificates
	// OPCUA looks at OPC UA servers and acts on them; nil where there are no connections.
	OPCUA OPCUA
	// Alarms are those of OPC UA servers; nil where there are no connections.
	Alarms Alarms
	// Registerer takes the metrics of this package, Gatherer shows all of them.
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer
	Clock      func() time.Time
	Logger     *slog.Logger
}

// Store is everything that handlers read without a service in between.
type Store interface {
	RecordStore
	EquipmentStore
	LatestStore
	CommandStore
	AuditStore
	QuarantineStore
	ReadyStore
}

// Settings are the limits and defaults of the HTTP interface.
type Settings struct {
	// Readiness says what connections to the floor mean for GET /readyz.
	Readiness ReadinessPolicy
	// SiteID is the site of bare machine ids where the key is not bound to one.
	SiteID string
	// MaxBody is the largest body of POST /data after decompression, in bytes.
	MaxBody int64
	// BodyTimeout is how long a body may take to arrive; 0 is a minute.
	BodyTimeout time.Duration
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []*net.IPNet
	// RatePerSecond and RateBurst bound the requests of one key; 0 is no limit.
	RatePerSecond float64
	RateBurst     int
	// Version is the program's, which /healthz shows.
	Version string
}

// API is the HTTP interface.
type API struct {
	deps     Deps
	settings Settings
	echo     *echo.Echo
	limiter  *limiter
	metrics  *requestMetrics
	bodies   budget
	// Memory that is used again.
	exchanges sync.Pool // of *exchange
	zips      sync.Pool // of *gzip.Writer
	unzips    sync.Pool // of *unzipper

	stopping chan struct{}
}

// open is the scope of routes that need no key.
const open mes.KeyScope = ""

// maxResourceBody is the largest body of ordinary resources, in bytes.
const maxResourceBody = 1 << 20

// bodyClass is the kind of request body that a route takes.
type bodyClass uint8

const (
	noBody bodyClass = iota
	resourceBody
	dataBody
)

// route is one line of the table of routes.
type route struct {
	method, path string
	// scope is what the key must grant; open needs no key.
	scope   mes.KeyScope
	body    bodyClass
	handler echo.HandlerFunc
}

// routes is every route there is, apart from the files of the live page.
func (a *API) routes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{post, "/data", mes.ScopeDataWrite, dataBody, a.postData},
		{get, "/data", mes.ScopeDataRead, noBody, a.listRecords},
		{get, "/data/:id", mes.ScopeDataRead, noBody, a.getRecord},

		{get, "/api/v1/equipment", mes.ScopeEquipmentRead, noBody, a.listEquipment},
		{get, "/api/v1/equipment/:id", mes.ScopeEquipmentRead, noBody, a.getEquipment},
		{get, "/api/v1/equipment/:id/latest", mes.ScopeDataRead, noBody, a.listEquipmentLatest},
		{get, "/api/v1/equipment/:id/series", mes.ScopeDataRead, noBody, a.getSeries},
		{post, "/api/v1/equipment/:id/commands", mes.ScopeFloorWrite, resourceBody, a.sendCommand},
		{get, "/api/v1/equipment/:id/commands", mes.ScopeEquipmentRead, noBody, a.listCommands},
		{get, "/api/v1/latest", mes.ScopeDataRead, noBody, a.listLatest},

		{get, "/api/v1/commands/:id", mes.ScopeEquipmentRead, noBody, a.getCommand},
		{post, "/api/v1/commands/:id/cancel", mes.ScopeFloorWrite, noBody, a.cancelCommand},

		{get, "/api/v1/quarantine", mes.ScopeDataRead, noBody, a.listQuarantine},
		{get, "/api/v1/quarantine/:id", mes.ScopeDataRead, noBody, a.getQuarantined},
		{get, "/api/v1/quarantine/:id/raw", mes.ScopeDataRead, noBody, a.getQuarantinedRaw},
		{post, "/api/v1/quarantine/:id/replay", mes.ScopeDataWrite, resourceBody, a.replayQuarantined},
		{post, "/api/v1/quarantine/:id/discard", mes.ScopeDataWrite, noBody, a.discardQuarantined},

		{get, "/api/v1/adapters", mes.ScopeAdaptersRead, noBody, a.listAdapters},
		{get, "/api/v1/adapters/opcua/:name/certificates", mes.ScopeAdaptersRead, noBody, a.listCertificates},
		{post, "/api/v1/adapters/opcua/:name/certificates/:thumbprint/approve", mes.ScopeAdmin, noBody, a.approveCertificate},
		{post, "/api/v1/adapters/opcua/:name/certificates/:thumbprint/reject", mes.ScopeAdmin, noBody, a.rejectCertificate},
		{post, "/api/v1/adapters/mqtt/:name/test", mes.ScopeAdaptersRead, resourceBody, a.testMessage},
		{get, "/api/v1/adapters/opcua/:name/browse", mes.ScopeAdaptersRead, noBody, a.browseOPCUA},
		{post, "/api/v1/adapters/opcua/:name/read", mes.ScopeDataRead, resourceBody, a.readOPCUA},
		{post, "/api/v1/adapters/opcua/:name/write", mes.ScopeOPCUAWrite, resourceBody, a.writeOPCUA},
		{post, "/api/v1/adapters/opcua/:name/call", mes.ScopeOPCUAWrite, resourceBody, a.callOPCUA},

		{get, "/api/v1/audit", mes.ScopeAdmin, noBody, a.listAudit},
		{get, "/api/v1/audit/:id", mes.ScopeAdmin, noBody, a.getAudit},
		{get, "/api/v1/adapters/opcua/:name/alarms", mes.ScopeDataRead, noBody, a.listAlarms},
		{post, "/api/v1/adapters/opcua/:name/alarms/acknowledge", mes.ScopeAlarmsWrite, resourceBody, a.acknowledgeAlarm},
		{post, "/api/v1/adapters/opcua/:name/alarms/confirm", mes.ScopeAlarmsWrite, resourceBody, a.confirmAlarm},
		{post, "/api/v1/adapters/opcua/:name/alarms/comment", mes.ScopeAlarmsWrite, resourceBody, a.commentAlarm},

		{get, "/healthz", open, noBody, a.getHealth},
		{get, "/readyz", open, noBody, a.getReadiness},
		{get, "/metrics", mes.ScopeMetricsRead, noBody, a.getMetrics},
		{get, "/problems/:code", open, noBody, a.getProblem},
		{get, "/openapi.json", open, noBody, a.getOpenAPI},
		{get, "/swagger", open, noBody, a.redirectSwagger},
		{get, "/swagger/", open, noBody, a.getSwagger},
		{get, "/swagger/:file", open, noBody, a.getSwaggerFile},
		{get, "/", open, noBody, a.getLivePage},
	}
}

// New builds the HTTP interface.
func New(deps Deps, settings Settings) (*API, error) {
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Logger == nil {
		deps.Logger = slog.New(slog.DiscardHandler)
	}
	if deps.Adapters == nil {
		deps.Adapters = func() []mes.AdapterStatus { return nil }
	}
	if deps.Samples == nil {
		deps.Samples = noSamples
	}
	if deps.OPCUA == nil {
		deps.OPCUA = noOPCUA{}
	}
	if deps.Alarms == nil {
		deps.Alarms = noAlarms{}
	}
	if deps.Patient == nil {
		deps.Patient = deps.Ingester
	}
	if deps.Gatherer == nil {
		deps.Gatherer = prometheus.NewRegistry()
	}
	if settings.BodyTimeout == 0 {
		settings.BodyTimeout = defaultBodyTimeout
	}
	a := &API{
		deps: deps, settings: settings, echo: echo.New(),
		limiter:  newLimiter(settings.RatePerSecond, settings.RateBurst, deps.Clock),
		bodies:   budget{limit: bodyMemory * max(settings.MaxBody, maxResourceBody)},
		stopping: make(chan struct{}),
	}
	var err error
	if a.metrics, err = newRequestMetrics(deps.Registerer); err != nil {
		return nil, fmt.Errorf("metrics of the HTTP interface: %w", err)
	}
	a.configure()
	for _, r := range a.routes() {
		// Put together once; echo would do it for every request.
		handler := a.require(r.scope, a.boundBody(r.body, r.handler))
		if r.scope == mes.ScopeOPCUAWrite || r.scope == mes.ScopeAlarmsWrite {
			handler = a.auditRefusals(r, handler)
		}
		a.echo.Add(r.method, r.path, wholeSegments(r.path, handler))
	}
	if err := a.addLivePageFiles(); err != nil {
		return nil, fmt.Errorf("live page: %w", err)
	}
	return a, nil
}

// configure sets up echo, of which the router and the contexts are used.
func (a *API) configure() {
	e := a.echo
	e.HTTPErrorHandler = a.answerError
	e.IPExtractor = clientAddress(a.settings.TrustedProxies)
	e.HideBanner, e.HidePort = true, true
}

// Routes lists every route there is.
func (a *API) Routes() []*echo.Route { return a.echo.Routes() }

// clientAddress trusts X-Forwarded-For only from the given networks; without
// any, the peer of the connection is the client.
func clientAddress(trusted []*net.IPNet) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, n := range trusted {
		options = append(options, echo.TrustIPRange(n))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}
