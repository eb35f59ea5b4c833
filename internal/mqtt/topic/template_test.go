package topic_test

import (
	"strings"
	"testing"

	"plantgate/internal/mqtt/topic"
)

func TestTemplateRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              "required",
		"plant/+/commands":              "wildcard",
		"plant/#":                       "wildcard",
		"plant/x{machine}":              "fill its level",
		"plant/{machine}/{machine}":     "twice",
		"plant/{robot}":                 "{robot} is not",
		"plant/{area}/{machine}":        "write them out",
		"plant/{line}/{machine}":        "write them out",
		"$SYS/{machine}":                "begin with $",
		"$share/group/{machine}":        "begin with $",
		"plant/{command}s/{machine}":    "fill their level",
		"a\x00b":                        "U+0000",
		strings.Repeat("a", 65536):      "65535",
		"plant/{machine}/x{command}":    "fill their level",
		"plant/{machine}/{command}/a+b": "+ must fill",
	} {
		if _, err := topic.ParseTemplate(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseTemplate(%.40q) = %v, want an error with %q", text, err, want)
		}
	}
}

func TestTemplateTopic(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ template, site, machine, command, want string }{
		{"plant/{site}/{machine}/commands", "main", "M1", "c", "plant/main/M1/commands"},
		{"{machine}/{command}", "main", "M1", "job_order.dispatch", "M1/job_order.dispatch"},
		{"all", "main", "M1", "c", "all"},
		{"plant/{machine}", "main", "M+1", "c", ""},
		{"plant/{machine}", "main", "#", "c", ""},
		{"{machine}/x", "main", "$SYS", "c", ""},
		{"x/{machine}", "main", "$SYS", "c", "x/$SYS"},
		{"x/{site}", "", "M1", "c", ""},
	} {
		parsed, err := topic.ParseTemplate(tt.template)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parsed.Topic(tt.site, tt.machine, tt.command)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s of %q: %q, %v; want %q", tt.template, tt.machine, got, err, tt.want)
		}
	}
}
