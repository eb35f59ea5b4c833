package series

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestWidths(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Width{
		"raw": Raw, "auto": Auto, "1m": 1, "90m": 90, "60m": 60, "2h": 120, "1d": 1440, "7d": 7 * 1440, "400d": 400 * 1440,
	} {
		w, err := ParseWidth(text)
		if err != nil || w != want {
			t.Errorf("%s: %v, %v", text, w, err)
		}
		if again, err := ParseWidth(w.String()); err != nil || again != w {
			t.Errorf("%s is written %s", text, w)
		}
	}
	for _, text := range []string{"", "1", "m", "0m", "-1m", "+1m", "1s", "1.5h", "401d", "99999999999m", "1M", "1h30m", " 1m", "RAW"} {
		if w, err := ParseWidth(text); err == nil {
			t.Errorf("%q passed for %s", text, w)
		}
	}
	for _, c := range []struct{ width, at, want string }{
		{"1m", "2026-11-22T10:15:59.999999Z", "2026-11-22T10:15:00Z"},
		{"2h", "2026-11-22T11:59:00Z", "2026-11-22T10:00:00Z"},
		{"1d", "2026-11-22T11:59:00Z", "2026-11-22T00:00:00Z"},
		{"7d", "2026-11-22T11:59:00Z", "2026-11-16T00:00:00Z"}, // a Monday
		{"1h", "1969-12-31T23:59:59Z", "1969-12-31T23:00:00Z"},
	} {
		w, _ := ParseWidth(c.width)
		if got := w.Start(day(c.at)); !got.Equal(day(c.want)) || !got.Equal(day(c.at).Truncate(w.Duration())) {
			t.Errorf("%s at %s begins at %s, want %s", c.width, c.at, got, c.want)
		}
	}
}

func TestAutoChoosesAWidth(t *testing.T) {
	t.Parallel()
	from := day("2026-11-22")
	for _, c := range []struct {
		span   time.Duration
		points int
		want   string
	}{
		{time.Hour, 0, "1m"},
		{24 * time.Hour, 0, "5m"},
		{24 * time.Hour, 1440, "1m"},
		{24 * time.Hour, 1439, "2m"},
		{7 * 24 * time.Hour, 500, "30m"},
		{365 * 24 * time.Hour, 500, "1d"},
		{365 * 24 * time.Hour, 4, "364d"},
	} {
		q := Query{From: from, To: from.Add(c.span), Width: Auto, Points: c.points}.Resolved()
		if q.Width.String() != c.want {
			t.Errorf("%s with %d points: %s, want %s", c.span, c.points, q.Width, c.want)
		}
	}
}

func TestQueryFaults(t *testing.T) {
	t.Parallel()
	valid := Query{Unit: press, Signals: []string{"a"}, From: day("2026-11-22"), To: day("2026-11-23"), Width: Minute, Percentiles: []float64{50}}
	if fault := valid.Validate(); fault != nil {
		t.Fatal(fault)
	}
	many := make([]string, MaxSignals+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for name, c := range map[string]struct {
		change func(*Query)
		want   string
	}{
		"no signal":          {func(q *Query) { q.Signals = nil }, "/signal: is required"},
		"many signals":       {func(q *Query) { q.Signals = many }, "/signal: may be given 20 times, not 21"},
		"signal twice":       {func(q *Query) { q.Signals = []string{"a", "a"} }, `/signal: names "a" twice`},
		"empty signal":       {func(q *Query) { q.Signals = []string{""} }, "/signal: the name"},
		"broken signal":      {func(q *Query) { q.Signals = []string{"\xff"} }, "/signal: must be valid UTF-8"},
		"long signal":        {func(q *Query) { q.Signals = []string{strings.Repeat("x", 257)} }, "/signal: the name"},
		"no from":            {func(q *Query) { q.From = time.Time{} }, "/from: is required"},
		"no to":              {func(q *Query) { q.To = time.Time{} }, "/to: is required"},
		"empty":              {func(q *Query) { q.To = q.From }, "/to: must be after from"},
		"too many buckets":   {func(q *Query) { q.To = q.From.Add(8 * 24 * time.Hour) }, "/width: makes 11520 buckets a signal, and 10000 is the limit; ask for 2m, or for less time"},
		"wide":               {func(q *Query) { q.Width = maxWidth + 1 }, "/width: must be from 1m to 400d"},
		"points":             {func(q *Query) { q.Points = 100 }, "/points: goes with the widths auto and raw only, not with 1m"},
		"few points":         {func(q *Query) { q.Width, q.Points = Auto, 3 }, "/points: must be a whole number from 4 to 10000"},
		"percentile":         {func(q *Query) { q.Percentiles = []float64{101} }, "/percentile: must be a number from 0 to 100"},
		"no number":          {func(q *Query) { q.Percentiles = []float64{math.NaN()} }, "/percentile: must be a number from 0 to 100"},
		"percentile twice":   {func(q *Query) { q.Percentiles = []float64{5, 5} }, "/percentile: asks for 5 twice"},
		"many percentiles":   {func(q *Query) { q.Percentiles = []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10} }, "/percentile: may be given 10 times, not 11"},
		"raw with quantiles": {func(q *Query) { q.Width = Raw }, "/percentile: goes with buckets"},
	} {
		q := valid
		c.change(&q)
		fault := q.Validate()
		if fault == nil || len(fault.Fields) != 1 || !strings.Contains(fault.Error(), c.want) {
			t.Errorf("%s: %v", name, fault)
		}
	}
	if fault := (Query{Width: Raw, Points: 1, Percentiles: []float64{-1}}).Validate(); fault == nil || len(fault.Fields) != 5 {
		t.Errorf("all at once: %v", fault)
	}
}
