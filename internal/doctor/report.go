// Package doctor holds what `plantgate doctor` finds out: a configuration held against the
// world. Who checks stands with what is checked.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"plantgate/internal/mes"
)

// Level is how grave a finding is.
type Level string

// The levels. Only a fault fails the whole.
const (
	OK      Level = "ok"
	Note    Level = "note"    // worth to know
	Warning Level = "warning" // works, but something may be lost or end soon
	Fault   Level = "fault"   // does not work
)

// Finding is the result of one check.
type Finding struct {
	// Subject is what was checked, such as "mqtt plant".
	Subject string `json:"subject"`
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	// Detail is what was found; no secret.
	Detail string `json:"detail"`
	// Advice is what to do about it; "" where nothing is.
	Advice string `json:"advice,omitempty"`
}

// Report is a list of findings, in the order of the checks.
type Report struct{ Findings []Finding }

// On returns what adds findings of a subject.
func (r *Report) On(subject string) *Subject { return &Subject{report: r, name: subject} }

// Failed tells whether there is a fault.
func (r *Report) Failed() bool { return r.Count(Fault) > 0 }

// Count returns how many findings there are of a level.
func (r *Report) Count(level Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// WriteText writes the findings as a table, with what to do below each.
func (r *Report) WriteText(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.Findings {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", strings.ToUpper(string(f.Level)), f.Subject, f.Check, printable(f.Detail))
		if f.Advice != "" {
			_, _ = fmt.Fprintf(table, "\t\t\t-> %s\n", printable(f.Advice))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s, %s\n", mes.Counted(r.Count(Fault), "fault"), mes.Counted(r.Count(Warning), "warning"))
	return err
}

// printable keeps what a broker or server says from breaking the table or the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// WriteJSON writes the findings as one object.
func (r *Report) WriteJSON(w io.Writer) error {
	findings := r.Findings
	if findings == nil {
		findings = []Finding{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Failed   bool      `json:"failed"`
		Findings []Finding `json:"findings"`
	}{r.Failed(), findings})
}

// Subject adds findings of one thing.
type Subject struct {
	report *Report
	name   string
}

// OK adds what is right.
func (s *Subject) OK(check, format string, args ...any) {
	s.add(check, OK, "", format, args...)
}

// Note adds what is worth to know.
func (s *Subject) Note(check, advice, format string, args ...any) {
	s.add(check, Note, advice, format, args...)
}

// Warn adds what may lose something, or end soon.
func (s *Subject) Warn(check, advice, format string, args ...any) {
	s.add(check, Warning, advice, format, args...)
}

// Fail adds what does not work.
func (s *Subject) Fail(check, advice, format string, args ...any) {
	s.add(check, Fault, advice, format, args...)
}

func (s *Subject) add(check string, level Level, advice, format string, args ...any) {
	s.report.Findings = append(s.report.Findings, Finding{s.name, check, level, fmt.Sprintf(format, args...), advice})
}
