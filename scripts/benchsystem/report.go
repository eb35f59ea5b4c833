package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// figure is what was measured of one thing in one unit, once in each round.
type figure struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Rounds []float64 `json:"rounds"`
}

// verdict says whether a target was met.
type verdict struct {
	Target string  `json:"target"`
	Pass   bool    `json:"pass"`
	Value  float64 `json:"value"`
	Limit  float64 `json:"limit"`
	Unit   string  `json:"unit"`
}

// report gathers what a run finds out.
type report struct {
	figures  []*figure
	verdicts []verdict
	notes    []string
	// broken is what must not happen, whatever the figures: wrong answers, and
	// records that are lost.
	broken []string
}

// add adds the value of a round.
func (r *report) add(name, unit string, value float64) {
	f := r.find(name, unit)
	if f == nil {
		f = &figure{Name: name, Unit: unit}
		r.figures = append(r.figures, f)
	}
	f.Rounds = append(f.Rounds, value)
	f.Median, f.Min, f.Max = median(f.Rounds), slices.Min(f.Rounds), slices.Max(f.Rounds)
}

func (r *report) find(name, unit string) *figure {
	i := slices.IndexFunc(r.figures, func(f *figure) bool { return f.Name == name && f.Unit == unit })
	if i < 0 {
		return nil
	}
	return r.figures[i]
}

// median of a figure; ok is false where it was not measured.
func (r *report) median(name, unit string) (value float64, ok bool) {
	if f := r.find(name, unit); f != nil {
		return f.Median, true
	}
	return 0, false
}

// atMost adds the verdict on a value that should not exceed the limit.
func (r *report) atMost(target, unit string, value, limit float64) {
	r.verdicts = append(r.verdicts, verdict{target, value <= limit, value, limit, unit})
}

func (r *report) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *report) fail(err error) {
	if err != nil {
		r.broken = append(r.broken, err.Error())
	}
}

// median of values, which must not be empty.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// The forms of a report.
const (
	formatAll   = "all"
	formatTable = "table"
	formatJSON  = "json"
	formatBench = "bench"
)

var formats = []string{formatAll, formatTable, formatJSON, formatBench}

// write prints the report. The verdicts come last.
func (r *report) write(w io.Writer, format string) error {
	switch format {
	case formatTable:
		return r.writeTable(w)
	case formatJSON:
		return r.writeJSON(w)
	case formatBench:
		return r.writeBench(w)
	default:
		if err := r.writeJSON(w); err != nil {
			return err
		}
		return r.writeTable(w)
	}
}

// byName groups figures that have a name in common, in the order of the first.
func (r *report) byName() [][]*figure {
	var groups [][]*figure
	place := make(map[string]int)
	for _, f := range r.figures {
		i, ok := place[f.Name]
		if !ok {
			i = len(groups)
			place[f.Name] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], f)
	}
	return groups
}

func (r *report) writeTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, note := range r.notes {
		fmt.Fprintln(w, "# "+note)
	}
	fmt.Fprint(w, "\nmedian\tlowest\thighest\trounds\t\n")
	for _, group := range r.byName() {
		fmt.Fprintln(w, group[0].Name)
		for _, f := range group {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t  %s\n", short(f.Median), short(f.Min), short(f.Max), len(f.Rounds), f.Unit)
		}
	}
	fmt.Fprintln(w)
	for _, v := range r.verdicts {
		fmt.Fprintf(w, "%s  %s: %s, at most %s %s\n", v.word(), v.Target, short(v.Value), short(v.Limit), v.Unit)
	}
	for _, b := range r.broken {
		fmt.Fprintln(w, "BROKEN  "+b)
	}
	return w.Flush()
}

func (v verdict) word() string {
	if v.Pass {
		return "PASS"
	}
	return "FAIL"
}

// short writes a number with three digits that mean something.
func short(v float64) string {
	switch {
	case v >= 100 || v <= -100 || v == 0:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}

// writeJSON writes a line for each figure, verdict and fault.
func (r *report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	for _, f := range r.figures {
		if err := e.Encode(f); err != nil {
			return err
		}
	}
	for _, v := range r.verdicts {
		if err := e.Encode(v); err != nil {
			return err
		}
	}
	for _, b := range r.broken {
		if err := e.Encode(map[string]string{"broken": b}); err != nil {
			return err
		}
	}
	return nil
}

// writeBench writes a line for each name and round, as benchmarks do
// (golang.org/x/perf/benchfmt), so that benchstat compares two runs.
func (r *report) writeBench(w io.Writer) error {
	for _, group := range r.byName() {
		rounds := len(slices.MaxFunc(group, func(a, b *figure) int { return cmp.Compare(len(a.Rounds), len(b.Rounds)) }).Rounds)
		for i := range rounds {
			line := "BenchmarkSystem/" + strings.ReplaceAll(group[0].Name, " ", "_") + "\t1"
			for _, f := range group {
				if i < len(f.Rounds) {
					line += fmt.Sprintf("\t%g %s", f.Rounds[i], strings.ReplaceAll(f.Unit, " ", "-"))
				}
			}
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
	}
	return nil
}
