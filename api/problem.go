package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"plantgate/internal/mes"
)

// problemType is the media type of RFC 9457.
const problemType = "application/problem+json"

// problemDocument is an error as RFC 9457 describes it.
type problemDocument struct {
	// Kind of problem: a path that describes it, or about:blank.
	Type string `json:"type" example:"/problems/invalid" validate:"required"`
	// Short name of the kind.
	Title string `json:"title" example:"Invalid input" validate:"required"`
	// HTTP status code.
	Status int `json:"status" example:"422" validate:"required"`
	// What went wrong this time.
	Detail string `json:"detail,omitempty" example:"the input has invalid members"`
	// Path of the request.
	Instance string `json:"instance,omitempty" example:"/data"`
	// Id of the request, as in the header X-Request-Id and in the log.
	RequestID string `json:"request_id,omitempty" example:"019aab1c-7d20-7c11-9e02-3f5a6b7c8d9e"`
	// Every fault of invalid input.
	Errors []problemField `json:"errors,omitempty"`
} //	@name	Problem

// problemField names one member of the input and what was expected of it.
type problemField struct {
	// JSON pointer (RFC 6901) into the input, or the slash and name of a parameter.
	Pointer string `json:"pointer" example:"/status"`
	// What was expected and what was found.
	Detail string `json:"detail" example:"must be one of Running, Idle, Stopped, Maintenance, not \"Runing\""`
} //	@name	ProblemField

// kind is how one mes.Code looks to HTTP.
type kind struct {
	status int
	title  string
	about  string
}

// kinds is the one map from codes to answers.
var kinds = map[mes.Code]kind{
	mes.CodeMalformed:       {http.StatusBadRequest, "Malformed request", "The body or a header cannot be read at all, for example JSON that ends too early. The detail names the place."},
	mes.CodeInvalid:         {http.StatusUnprocessableEntity, "Invalid input", "The request can be read, but says something that cannot be accepted. The list errors names every fault at once."},
	mes.CodeUnsupported:     {http.StatusUnsupportedMediaType, "Unsupported media type", "The Content-Type or Content-Encoding is not one that this route takes."},
	mes.CodeTooLarge:        {http.StatusRequestEntityTooLarge, "Too large", "The body, a record or a batch is larger than the limit. Send it in parts."},
	mes.CodeUnauthenticated: {http.StatusUnauthorized, "No valid API key", "Send a valid API key in the header x-api-key, or as a bearer token."},
	mes.CodeForbidden:       {http.StatusForbidden, "Not allowed", "The API key lacks the scope of this route, or is bound to other sites or machines."},
	mes.CodeNotFound:        {http.StatusNotFound, "Not found", "There is no such thing, or the API key may not see it."},
	mes.CodeConflict:        {http.StatusConflict, "Conflict", "The request contradicts what is there, for example a message_id that was used with other content."},
	mes.CodePrecondition:    {http.StatusPreconditionFailed, "Precondition failed", "The resource changed since it was read. Read it again."},
	mes.CodeRateLimited:     {http.StatusTooManyRequests, "Too many requests", "The API key sent more requests than it may. Wait for as long as Retry-After says."},
	mes.CodeUnavailable:     {http.StatusServiceUnavailable, "Unavailable", "The server cannot do this now. The same request may be sent again after as long as Retry-After says, without harm."},
	mes.CodeInternal:        {http.StatusInternalServerError, "Internal error", "Something went wrong that a person has to look at. The log has more under the request's id."},
}

// minRetry is the least time that Retry-After asks for.
const minRetry = time.Second

func statusOf(code mes.Code) int {
	if k, ok := kinds[code]; ok {
		return k.status
	}
	return http.StatusInternalServerError
}

// answerError is the end of every error: it is answered here, and logged here
// if a person has to look.
func (a *API) answerError(err error, c echo.Context) {
	doc, retryAfter := describe(err)
	if doc.Status >= http.StatusInternalServerError && doc.Status != http.StatusServiceUnavailable {
		a.deps.Logger.LogAttrs(c.Request().Context(), levelError, "request failed", requestAttrs(c, err)...)
	}
	if c.Response().Committed {
		return // the answer is under way; observe cuts it off
	}
	h := c.Response().Header()
	switch doc.Status {
	case http.StatusUnauthorized:
		h.Set(echo.HeaderWWWAuthenticate, `Bearer realm="plantgate"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		seconds := int(math.Ceil(max(retryAfter, minRetry).Seconds()))
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(seconds))
	case http.StatusMethodNotAllowed:
		h.Set(echo.HeaderAllow, withHead(h.Get(echo.HeaderAllow)))
	}
	doc.Instance = c.Request().URL.EscapedPath()
	doc.RequestID = h.Get(echo.HeaderXRequestID)
	body, err := json.Marshal(doc)
	if err == nil {
		err = c.Blob(doc.Status, problemType, body)
	}
	if err != nil {
		a.deps.Logger.LogAttrs(c.Request().Context(), levelDebug, "problem not sent", requestAttrs(c, err)...)
	}
}

// describe turns an error into what its user may read.
func describe(err error) (problemDocument, time.Duration) {
	var fault *mes.Error
	if errors.As(err, &fault) {
		return problemOf(fault), fault.RetryAfter
	}
	var he *echo.HTTPError
	if errors.As(err, &he) && he.Code < http.StatusInternalServerError {
		return problemDocument{Type: "about:blank", Title: http.StatusText(he.Code), Status: he.Code, Detail: routeDetail(he.Code)}, 0
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return problemOf(mes.Errorf(mes.CodeUnavailable, "the request ended before its answer was ready")), 0
	}
	return problemOf(mes.Errorf(mes.CodeInternal, "")), 0
}

func problemOf(fault *mes.Error) problemDocument {
	code := fault.Code
	k, ok := kinds[code]
	if !ok || code == mes.CodeInternal {
		// The text of an internal error is for the log only.
		code, k, fault = mes.CodeInternal, kinds[mes.CodeInternal], &mes.Error{Message: "the server could not do this; its log has more under the request's id"}
	}
	doc := problemDocument{Type: "/problems/" + string(code), Title: k.title, Status: k.status, Detail: fault.Message}
	for _, f := range fault.Fields {
		doc.Errors = append(doc.Errors, problemField(f))
	}
	return doc
}

func routeDetail(status int) string {
	switch status {
	case http.StatusNotFound:
		return "there is nothing at this path; /openapi.json lists what there is"
	case http.StatusMethodNotAllowed:
		return "this path does not take this method; the header Allow lists those it takes"
	default:
		return ""
	}
}

// invalidParameter names one faulty parameter of path, query or header.
func invalidParameter(name, format string, args ...any) *mes.Error {
	return mes.Invalid([]mes.FieldError{{Pointer: mes.Pointer(name), Detail: fmt.Sprintf(format, args...)}})
}

// getProblem describes a kind of problem.
//
//	@Summary		Describe a kind of problem
//	@Description	The type of a problem document points here.
//	@Tags			operation
//	@ID				getProblem
//	@Produce		plain
//	@Param			code	path		string	true	"kind of problem"	example(invalid)
//	@Success		200		{string}	string
//	@Failure		404		{object}	problemDocument
//	@Router			/problems/{code} [get]
func (a *API) getProblem(c echo.Context) error {
	k, ok := kinds[mes.Code(c.Param("code"))]
	if !ok {
		return mes.Errorf(mes.CodeNotFound, "there is no such kind of problem")
	}
	return c.String(http.StatusOK, fmt.Sprintf("%s (%d)\n\n%s\n", k.title, k.status, k.about))
}

// withHead adds HEAD, which every GET route answers, to a list of methods.
func withHead(allow string) string {
	if strings.Contains(allow, http.MethodGet) && !strings.Contains(allow, http.MethodHead) {
		return allow + ", " + http.MethodHead
	}
	return allow
}
