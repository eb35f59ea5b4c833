package topic_test

import (
	"strings"
	"testing"

	"plantgate/internal/mqtt/topic"
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"":                                  "required",
		"plant/x{machine}/data":             "fill its level",
		"plant/{machine}{site}":             "fill its level",
		"plant/{machine}/{machine}":         "twice",
		"plant/{robot}":                     "{robot} is not a capture",
		"plant/{}":                          "is not a capture",
		"plant/#/data":                      "last level",
		"plant/a#":                          "# must fill",
		"plant/a+":                          "+ must fill",
		"$share/group":                      "filter is missing",
		"$share/group/":                     "filter is missing",
		"$share//a":                         "must be a name",
		"$share/+/a":                        "must be a name",
		"a\x00b":                            "U+0000",
		"a\xffb":                            "UTF-8",
		strings.Repeat("a", 65536):          "65535",
		"$share/g/plant/{machine}/#/{site}": "last level",
	}
	for text, want := range tests {
		_, err := topic.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.40q) = %v, want an error with %q", text, err, want)
		}
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"mes/production/data":                "mes/production/data",
		"p/{site}/{area}/{line}/{machine}/d": "p/+/+/+/+/d",
		"$share/g/p/{machine}/#":             "$share/g/p/+/#",
		"#":                                  "#",
		"/a//b/":                             "/a//b/",
	}
	for text, want := range tests {
		p, err := topic.Parse(text)
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
			continue
		}
		if got := p.Filter(); got != want {
			t.Errorf("Parse(%q).Filter() = %q, want %q", text, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, topic string
		match          bool
		want           topic.Captures
	}{
		{"mes/production/data", "mes/production/data", true, topic.Captures{}},
		{"mes/production/data", "mes/production", false, topic.Captures{}},
		{"mes/production", "mes/production/data", false, topic.Captures{}},
		{"p/{site}/{area}/{line}/{machine}", "p/pune/a1/l2/M3", true, topic.Captures{Site: "pune", Area: "a1", Line: "l2", Machine: "M3"}},
		{"p/{machine}/#", "p/M1", true, topic.Captures{Machine: "M1"}},
		{"p/{machine}/#", "p/M1/a/b", true, topic.Captures{Machine: "M1"}},
		{"p/{machine}/#", "p", false, topic.Captures{}},
		{"p/+/{machine}", "p//M1", true, topic.Captures{Machine: "M1"}},
		{"p/{machine}/d", "p//d", true, topic.Captures{}},
		{"$share/g/p/{machine}", "p/M1", true, topic.Captures{Machine: "M1"}},
		{"#", "$SYS/broker/uptime", false, topic.Captures{}},
		{"+/broker", "$SYS/broker", false, topic.Captures{}},
		{"{site}/broker", "$SYS/broker", false, topic.Captures{}},
		{"$SYS/#", "$SYS/broker/uptime", true, topic.Captures{}},
		{"#", "a", true, topic.Captures{}},
		{"/+", "/a", true, topic.Captures{}},
		{"+", "/a", false, topic.Captures{}},
	}
	for _, tt := range tests {
		p, err := topic.Parse(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := p.Match(tt.topic)
		if ok != tt.match || got != tt.want {
			t.Errorf("%q matches %q: %v %+v, want %v %+v", tt.pattern, tt.topic, ok, got, tt.match, tt.want)
		}
	}
}

// FuzzPattern checks that nothing panics, and that a topic made from a pattern
// matches it and gives back what was put in.
func FuzzPattern(f *testing.F) {
	f.Add("p/{site}/{machine}/+/#", "pune", "M1")
	f.Add("$share/g/{machine}", "", "a")
	f.Add("/{line}/", "x", "y")
	f.Fuzz(func(t *testing.T, text, site, machine string) {
		p, err := topic.Parse(text)
		if err != nil {
			return
		}
		p.Match(site)
		p.Match(text)
		filter := p.Filter()
		again, err := topic.Parse(filter)
		if err != nil {
			t.Fatalf("the filter %q of %q is refused: %v", filter, text, err)
		}
		if again.Filter() != filter {
			t.Fatalf("the filter of %q is %q", filter, again.Filter())
		}
		if strings.ContainsAny(site+machine, "/+#{}") {
			return
		}
		name := text
		if rest, ok := strings.CutPrefix(name, "$share/"); ok {
			_, name, _ = strings.Cut(rest, "/")
		}
		name = strings.NewReplacer("{site}", site, "{machine}", machine, "{area}", "A", "{line}", "L", "{signal}", "S", "+", "x", "#", "y").Replace(name)
		if strings.HasPrefix(name, "$") {
			return
		}
		c, ok := p.Match(name)
		if !ok {
			t.Fatalf("%q does not match %q", text, name)
		}
		if p.Captures(topic.CaptureSite) && c.Site != site || p.Captures(topic.CaptureMachine) && c.Machine != machine {
			t.Fatalf("%q captured %+v of %q", text, c, name)
		}
	})
}
