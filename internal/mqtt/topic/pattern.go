// Package topic reads MQTT topic filters whose levels may be captures, such as
// plant/{site}/{line}/{machine}/data, and matches topics against them. Filters
// are those of MQTT 3.1.1, 4.7, shared subscriptions those of MQTT 5.0, 4.8.2.
package topic

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxLength is the largest topic in bytes: a string of MQTT (3.1.1, 1.5.3).
const maxLength = 65535

// The names that a level may capture.
const (
	CaptureSite    = "site"
	CaptureArea    = "area"
	CaptureLine    = "line"
	CaptureMachine = "machine"
	// CaptureSignal names the signal of a payload that is a value alone.
	CaptureSignal = "signal"
)

// CaptureNames lists the names that a level may capture.
func CaptureNames() []string {
	return []string{CaptureSite, CaptureArea, CaptureLine, CaptureMachine, CaptureSignal}
}

// Captures are the levels of a topic that a pattern gave names to; "" where
// the pattern does not name one, or where the level is empty.
type Captures struct {
	Site, Area, Line, Machine, Signal string
}

// Pattern is a topic filter with captures.
type Pattern struct {
	text   string
	share  string // the group of a shared subscription, "" if it is none
	levels []string
}

// Parse reads a pattern. A capture stands for exactly one level, like "+".
func Parse(text string) (Pattern, error) {
	switch {
	case text == "":
		return Pattern{}, fmt.Errorf("a topic is required")
	case len(text) > maxLength:
		return Pattern{}, fmt.Errorf("a topic has at most %d bytes, not %d", maxLength, len(text))
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return Pattern{}, fmt.Errorf("a topic is UTF-8 without the character U+0000")
	}
	p := Pattern{text: text}
	filter := text
	if rest, shared := strings.CutPrefix(text, "$share/"); shared {
		group, inner, ok := strings.Cut(rest, "/")
		if !ok || inner == "" {
			return Pattern{}, fmt.Errorf("a shared subscription is $share/group/filter: the filter is missing")
		}
		if group == "" || strings.ContainsAny(group, "+#{}") {
			return Pattern{}, fmt.Errorf("the group %q of a shared subscription must be a name without + # { }", group)
		}
		p.share, filter = group, inner
	}
	p.levels = strings.Split(filter, "/")
	return p, p.check()
}

// CheckName tells what is wrong with the topic of a publication, or nil.
func CheckName(text string) error {
	if _, err := Parse(text); err != nil {
		return err
	}
	if strings.ContainsAny(text, "+#{}") {
		return fmt.Errorf("a topic that is published to has no wildcard or capture")
	}
	return nil
}

func (p Pattern) check() error {
	var seen []string
	for i, level := range p.levels {
		name, isCapture := captureName(level)
		switch {
		case isCapture && !slices.Contains(CaptureNames(), name):
			return fmt.Errorf("{%s} is not a capture: those are {site}, {area}, {line}, {machine} and {signal}", name)
		case isCapture && slices.Contains(seen, name):
			return fmt.Errorf("{%s} stands twice", name)
		case isCapture:
			seen = append(seen, name)
		case strings.ContainsAny(level, "{}"):
			return fmt.Errorf("a capture must fill its level, %q does not", level)
		case level == "#" && i != len(p.levels)-1:
			return fmt.Errorf("# must be the last level")
		case level != "#" && strings.Contains(level, "#"):
			return fmt.Errorf("# must fill its level, %q does not", level)
		case level != "+" && strings.Contains(level, "+"):
			return fmt.Errorf("+ must fill its level, %q does not", level)
		}
	}
	return nil
}

func captureName(level string) (string, bool) {
	if len(level) < 2 || level[0] != '{' || level[len(level)-1] != '}' {
		return "", false
	}
	name := level[1 : len(level)-1]
	return name, !strings.ContainsAny(name, "{}")
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Filter returns what to subscribe to: captures become +, and a shared
// subscription keeps its prefix.
func (p Pattern) Filter() string {
	levels := slices.Clone(p.levels)
	for i, level := range levels {
		if _, ok := captureName(level); ok {
			levels[i] = "+"
		}
	}
	filter := strings.Join(levels, "/")
	if p.share != "" {
		return "$share/" + p.share + "/" + filter
	}
	return filter
}

// Captures tells whether the pattern has a capture of that name.
func (p Pattern) Captures(name string) bool { return slices.Contains(p.levels, "{"+name+"}") }

// CapturedNames lists the names of the pattern's captures.
func (p Pattern) CapturedNames() []string {
	var names []string
	for _, level := range p.levels {
		if name, ok := captureName(level); ok {
			names = append(names, name)
		}
	}
	return names
}

// Match tells whether a topic matches, and what its captured levels are. As
// MQTT says, a wildcard in the first level matches no topic that begins with $.
func (p Pattern) Match(topic string) (Captures, bool) {
	var c Captures
	if strings.HasPrefix(topic, "$") && (p.levels[0] == "#" || isSingle(p.levels[0])) {
		return Captures{}, false
	}
	rest, more := topic, true
	for _, level := range p.levels {
		if level == "#" {
			return c, true // also the parent level: a/# matches a
		}
		if !more {
			return Captures{}, false
		}
		var got string
		got, rest, more = strings.Cut(rest, "/")
		if !isSingle(level) && got != level {
			return Captures{}, false
		}
		c.set(level, got)
	}
	return c, !more
}

func isSingle(level string) bool {
	_, capture := captureName(level)
	return capture || level == "+"
}

func (c *Captures) set(level, value string) {
	switch level {
	case "{" + CaptureSite + "}":
		c.Site = value
	case "{" + CaptureArea + "}":
		c.Area = value
	case "{" + CaptureLine + "}":
		c.Line = value
	case "{" + CaptureMachine + "}":
		c.Machine = value
	case "{" + CaptureSignal + "}":
		c.Signal = value
	}
}
