package api

import (
	"bufio"
	"context"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"plantgate/internal/series"
)

// SeriesReader answers queries for signals over time.
type SeriesReader interface {
	// Read gives the answer to a valid query to the sink, as it is made. A failure
	// before the first signal may be answered as any other; one after it means
	// that the answer is cut off.
	Read(ctx context.Context, q series.Query, sink series.Sink) error
}

// seriesBody is the answer for a machine. It only describes what seriesWriter
// writes.
type seriesBody struct {
	SiteID    string    `json:"site_id" example:"main" validate:"required"`
	MachineID string    `json:"machine_id" example:"M001" validate:"required"`
	From      time.Time `json:"from" example:"2026-11-22T10:00:00Z" validate:"required"`
	To        time.Time `json:"to" example:"2026-11-22T12:00:00Z" validate:"required"`
	// Width of the buckets, the chosen one if auto was asked for; or raw.
	Width  string       `json:"width" example:"5m" validate:"required"`
	Series []signalBody `json:"series" validate:"required"`
} //	@name	SeriesAnswer

// signalBody is one signal over time: buckets, or points where raw was asked for.
type signalBody struct {
	Signal string `json:"signal" example:"temperature" validate:"required"`
	// Unit of measure of its newest value.
	Unit string `json:"unit,omitempty" example:"Cel"`
	// Oldest first; where there is no sample there is no bucket.
	Buckets []bucketBody `json:"buckets,omitempty"`
	// Oldest first.
	Points []pointBody `json:"points,omitempty"`
} //	@name	Series

// bucketBody sums up the samples of a signal within one width of time.
type bucketBody struct {
	// Where the bucket begins. The first and the last hold only what is within from and to.
	Start time.Time `json:"start" example:"2026-11-22T10:00:00Z" validate:"required"`
	// Numbers that the figures are of.
	Count int64 `json:"count" example:"300" validate:"required"`
	// Samples that are left out: of bad quality, or without a number.
	Bad int64   `json:"bad" example:"0" validate:"required"`
	Min float64 `json:"min" example:"71.9" validate:"required" extensions:"x-nullable"`
	Max float64 `json:"max" example:"72.6" validate:"required" extensions:"x-nullable"`
	// Arithmetic mean of the numbers.
	Avg float64 `json:"avg" example:"72.31" validate:"required" extensions:"x-nullable"`
	Sum float64 `json:"sum" example:"21693" validate:"required" extensions:"x-nullable"`
	// Oldest and newest number.
	First float64 `json:"first" example:"72.1" validate:"required" extensions:"x-nullable"`
	Last  float64 `json:"last" example:"72.4" validate:"required" extensions:"x-nullable"`
} //	@name	SeriesBucket

// pointBody is one sample.
type pointBody struct {
	Timestamp time.Time `json:"timestamp" example:"2026-11-22T10:15:00Z" validate:"required"`
	Value     float64   `json:"value" example:"72.31" validate:"required"`
	// OPC UA StatusCode; 0 is Good.
	StatusCode uint32 `json:"status_code" example:"0" validate:"required"`
} //	@name	SeriesPoint

// defaultSpan is how far back a series goes without from.
const defaultSpan = 24 * time.Hour

// getSeries returns signals of a machine over time.
//
//	@Summary		Read signals over time
//	@Description	Sums of the samples of up to 20 signals in buckets of one width, or the samples themselves. Late records are in it at once.
//	@Description	An answer that is cut off ends without the end of its JSON, and the connection is closed.
//	@Tags			equipment
//	@ID				getSeries
//	@Security		ApiKey
//	@Produce		json
//	@Param			id			path		string		true	"id, or {site}~{id}; without a site it is of the key's site"	example(M001)
//	@Param			signal		query		[]string	true	"name of a signal; may be given 20 times"	collectionFormat(multi)
//	@Param			from		query		string		false	"first time, inclusive; by default a day before to"	format(date-time)
//	@Param			to			query		string		false	"last time, exclusive; by default now"	format(date-time)
//	@Param			width		query		string		false	"width of a bucket: minutes, hours or days such as 5m, 2h, 1d; auto to fit points; raw for the samples themselves"	default(auto)
//	@Param			points		query		int			false	"how many buckets (auto, 500 by default) or points (raw; those that keep the shape of a plot) a signal has at most"	minimum(4)	maximum(10000)
//	@Param			percentile	query		[]number	false	"percentile of each bucket, within 1 %; 95 becomes the member p95; may be given 10 times"	collectionFormat(multi)
//	@Success		200			{object}	seriesBody
//	@Failure		401,403,404,422,429,503	{object}	problemDocument
//	@Router			/api/v1/equipment/{id}/series [get]
func (a *API) getSeries(c echo.Context) error {
	q := newQuery(c)
	request := a.seriesQuery(q)
	if err := q.err(); err != nil {
		return err
	}
	e, err := a.equipment(c)
	if err != nil {
		return err
	}
	request.Unit = series.Unit{SiteID: e.SiteID, MachineID: e.ID}
	w := newSeriesWriter(c.Response(), request)
	if err := a.deps.Series.Read(c.Request().Context(), request, w); err != nil {
		return err
	}
	return w.end()
}

// seriesQuery binds the parameters. Its width is never auto.
func (a *API) seriesQuery(q *query) series.Query {
	request := series.Query{
		Signals: q.repeated("signal"), From: q.time("from"), To: q.time("to"), Width: series.Auto,
		Points: q.number("points", series.MinPoints, series.MaxBuckets),
	}
	if text := q.text("width"); text != "" {
		var err error
		if request.Width, err = series.ParseWidth(text); err != nil {
			q.fault("width", "%s", err.Error())
		}
	}
	for _, text := range q.repeated("percentile") {
		p, err := strconv.ParseFloat(text, 64)
		if err != nil {
			p = math.NaN() // which is no percentile
		}
		request.Percentiles = append(request.Percentiles, p)
	}
	if request.To.IsZero() {
		request.To = a.deps.Clock().UTC()
	}
	if request.From.IsZero() {
		request.From = request.To.Add(-defaultSpan)
	}
	request = request.Resolved()
	q.adopt(request.Validate())
	return request
}

// seriesWriter writes an answer as it is made. The first bytes are sent when the
// buffer is full, so that an early failure can still be answered as such.
type seriesWriter struct {
	response *echo.Response
	buffer   *bufio.Writer
	json     *jsontext.Encoder
	query    series.Query
	names    []string
	open     bool
	err      error
}

// seriesBuffer is how much of an answer is held back, in bytes.
const seriesBuffer = 32 << 10

func newSeriesWriter(response *echo.Response, q series.Query) *seriesWriter {
	w := &seriesWriter{response: response, query: q}
	w.buffer = bufio.NewWriterSize(writerFunc(w.send), seriesBuffer)
	// Names are those of this file, and what is stored is written as well as can be.
	w.json = jsontext.NewEncoder(w.buffer, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for _, p := range q.Percentiles {
		w.names = append(w.names, series.PercentileName(p))
	}
	return w
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// send sends what the buffer held. Only then is the answer no problem any more.
func (w *seriesWriter) send(p []byte) (int, error) {
	w.response.Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	return w.response.Write(p)
}

// Signal implements series.Sink.
func (w *seriesWriter) Signal(name, unit string) error {
	if !w.open {
		w.begin()
	} else {
		w.token(jsontext.EndArray, jsontext.EndObject)
	}
	w.token(jsontext.BeginObject, jsontext.String("signal"), jsontext.String(name))
	if unit != "" {
		w.token(jsontext.String("unit"), jsontext.String(unit))
	}
	items := "buckets"
	if w.query.Width == series.Raw {
		items = "points"
	}
	w.token(jsontext.String(items), jsontext.BeginArray)
	return w.err
}

func (w *seriesWriter) begin() {
	w.open = true
	w.token(jsontext.BeginObject,
		jsontext.String("site_id"), jsontext.String(w.query.Unit.SiteID),
		jsontext.String("machine_id"), jsontext.String(w.query.Unit.MachineID),
		jsontext.String("from"), timeToken(w.query.From), jsontext.String("to"), timeToken(w.query.To),
		jsontext.String("width"), jsontext.String(w.query.Width.String()),
		jsontext.String("series"), jsontext.BeginArray)
}

// Bucket implements series.Sink.
func (w *seriesWriter) Bucket(b *series.Bucket, percentiles []float64) error {
	w.token(jsontext.BeginObject, jsontext.String("start"), timeToken(b.Start),
		jsontext.String("count"), jsontext.Int(b.Count), jsontext.String("bad"), jsontext.Int(b.Bad))
	w.figure("min", b, b.Min)
	w.figure("max", b, b.Max)
	w.figure("avg", b, b.Avg())
	w.figure("sum", b, b.Sum())
	w.figure("first", b, b.First)
	w.figure("last", b, b.Last)
	for i, p := range percentiles {
		w.figure(w.names[i], b, p)
	}
	w.token(jsontext.EndObject)
	return w.err
}

// figure writes null where the bucket has no numbers, or where a double can't
// hold the figure.
func (w *seriesWriter) figure(name string, b *series.Bucket, v float64) {
	value := jsontext.Null
	if b.Count > 0 && !math.IsNaN(v) && !math.IsInf(v, 0) {
		value = jsontext.Float(v)
	}
	w.token(jsontext.String(name), value)
}

// Point implements series.Sink.
func (w *seriesWriter) Point(s series.Sample) error {
	w.token(jsontext.BeginObject, jsontext.String("timestamp"), timeToken(s.Position.Time), jsontext.String("value"))
	if w.err == nil {
		w.err = w.json.WriteValue(s.Value.AppendJSON(nil))
	}
	w.token(jsontext.String("status_code"), jsontext.Uint(uint64(s.StatusCode)), jsontext.EndObject)
	return w.err
}

// end writes the end of the answer, and all that was held back.
func (w *seriesWriter) end() error {
	w.token(jsontext.EndArray, jsontext.EndObject, jsontext.EndArray, jsontext.EndObject)
	if w.err != nil {
		return w.err
	}
	return w.buffer.Flush()
}

// token writes until the first failure, which the end of an item returns.
func (w *seriesWriter) token(tokens ...jsontext.Token) {
	for _, t := range tokens {
		if w.err != nil {
			return
		}
		w.err = w.json.WriteToken(t)
	}
}

func timeToken(t time.Time) jsontext.Token {
	return jsontext.String(t.UTC().Format(time.RFC3339Nano))
}
