package topic

import (
	"fmt"
	"slices"
	"strings"
)

// CaptureCommand stands for the name of a command, in the topics of publications only.
const CaptureCommand = "command"

// Template is a topic to publish to, whose levels may be places: plant/{site}/{machine}/commands.
type Template struct {
	text   string
	levels []string
}

// ParseTemplate reads a template. A place fills its level.
func ParseTemplate(text string) (Template, error) {
	// {command} is no capture of a filter: for its checks any other level will do.
	pattern, err := Parse(strings.ReplaceAll(text, "{"+CaptureCommand+"}", "command"))
	if err != nil {
		return Template{}, err
	}
	t := Template{text: text, levels: strings.Split(text, "/")}
	switch {
	case pattern.share != "" || strings.HasPrefix(text, "$"):
		return Template{}, fmt.Errorf("a topic that is published to does not begin with $, which is the broker's (MQTT 3.1.1, 4.7.2)")
	case pattern.Captures(CaptureArea) || pattern.Captures(CaptureLine):
		return Template{}, fmt.Errorf("{area} and {line} of a machine are not known: write them out, in a section for their machines")
	}
	for _, level := range t.levels {
		name, place := captureName(level)
		switch {
		case place && !slices.Contains([]string{CaptureSite, CaptureMachine, CaptureCommand}, name),
			!place && strings.ContainsAny(level, "{}+#"):
			return Template{}, fmt.Errorf("%q has no wildcard, and {site}, {machine} and {command} fill their level", level)
		}
	}
	return t, nil
}

// Has tells whether the template has a place of that name.
func (t Template) Has(name string) bool { return slices.Contains(t.levels, "{"+name+"}") }

// Topic fills the places. It fails where a value can't be a level: one that is empty, or
// has '/', '+', '#' or U+0000 (MQTT 3.1.1, 4.7).
func (t Template) Topic(site, machine, command string) (string, error) {
	levels := slices.Clone(t.levels)
	for i, level := range levels {
		name, place := captureName(level)
		if !place {
			continue
		}
		value := map[string]string{CaptureSite: site, CaptureMachine: machine, CaptureCommand: command}[name]
		if value == "" || strings.ContainsAny(value, "/+#\x00") || i == 0 && value[0] == '$' {
			return "", fmt.Errorf("the %s %q can't be a level of a topic", name, value)
		}
		levels[i] = value
	}
	text := strings.Join(levels, "/")
	if len(text) > maxLength {
		return "", fmt.Errorf("a topic has at most %d bytes, not %d", maxLength, len(text))
	}
	return text, nil
}
