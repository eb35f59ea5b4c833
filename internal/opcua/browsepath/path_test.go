package browsepath

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		canonical string
		pattern   bool
		captures  []string
		last      string
	}{
		"/Objects/2:Line/2:Speed":                          {"/Objects/2:Line/2:Speed", false, nil, "Speed"},
		"Objects/nsu=http://example.com/UA/;Press.2:Force": {"/Objects/nsu=http://example.com/UA/;Press.2:Force", false, nil, "Force"},
		"/Objects/nsu=urn:a%3Bb%25;X":                      {"/Objects/nsu=urn:a%3Bb%25;X", false, nil, "X"},
		"/2:Block&.Output":                                 {"/2:Block&.Output", false, nil, "Block.Output"},
		"<#!1:ConnectedTo>1:Boiler":                        {"<#!1:ConnectedTo>1:Boiler", false, nil, "Boiler"},
		"<HasComponent>1:a&&b":                             {"<HasComponent>1:a&&b", false, nil, "a&b"},
		"/0:nsu=x":                                         {"/0:nsu=x", false, nil, "nsu=x"},
		"/*:Line":                                          {"/*:Line", true, nil, "Line"},
		"/*":                                               {"/*", true, nil, ""},
		"/3:*":                                             {"/3:*", true, nil, ""},
		"/0:*":                                             {"/0:*", true, nil, ""},
		"Objects/**/{signal}":                              {"/Objects/**/{signal}", true, []string{"signal"}, ""},
		"/Objects/nsu=urn:m;Machines/{machine}/Status/{signal}": {"/Objects/nsu=urn:m;Machines/{machine}/Status/{signal}", true, []string{"machine", "signal"}, ""},
		"/Line-{line}/Press*": {"/Line-{line}/Press*", true, []string{"line"}, ""},
		"/a&*b&{c&}":          {"/a&*b&{c&}", false, nil, "a*b{c}"},
		"/Größe":              {"/Größe", false, nil, "Größe"},
	} {
		p, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if p.String() != want.canonical || p.IsPattern() != want.pattern || !reflect.DeepEqual(p.Captures(), want.captures) || p.LastName() != want.last {
			t.Errorf("%q is %q, pattern %v, captures %v, last name %q; want %+v", text, p, p.IsPattern(), p.Captures(), p.LastName(), want)
		}
	}
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	for text, words := range map[string]string{
		"":                             "empty",
		"/":                            "no browse name",
		"/Objects/":                    "no browse name",
		"/Objects//Line":               "no browse name",
		"/a:b":                         "&:",
		"/a#b":                         "&#",
		"/a>b":                         "&>",
		"/70000:Line":                  "65535",
		"/nsu=urn:x":                   "semicolon",
		"/nsu=;x":                      "semicolon",
		"/a&b":                         "&&",
		"/a&":                          "&&",
		"/{}":                          "capture",
		"/{Machine}":                   "capture",
		"/{machine":                    "capture",
		"/a}":                          "&}",
		"/{a}{b}":                      "side by side",
		"/{a}*":                        "side by side",
		"/**x":                         "alone",
		"/{a}/{a}":                     "twice",
		"/**/**/**/x":                  "more than 2",
		"<HasComponent":                "no >",
		"<Has*>x":                      "wildcards",
		"<>x":                          "no browse name",
		"\xff":                         "UTF-8",
		strings.Repeat("/x", 65):       "64 elements",
		"/" + strings.Repeat("x", 1e4): "bytes",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%.40q: %v, want a fault with %q", text, err, words)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		element, name string
		want          []string
		ok            bool
	}{
		{"/*", "anything\nat all", []string{}, true},
		{"/Line-{line}", "Line-7", []string{"7"}, true},
		{"/Line-{line}", "Line-", nil, false},
		{"/Line-{line}", "xLine-7", nil, false},
		{"/{a}_{b}", "x_y_z", []string{"x_y", "z"}, true},
		{"/a.b", "axb", nil, false},
		{"/a&.*", "a.", []string{}, true},
		{"/a&.*", "ab", nil, false},
		{"/*:x", "x", nil, true},
	} {
		p, err := Parse(tc.element)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := p.Elements[0].Match(tc.name)
		if ok != tc.ok || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s and %q: %q, %v, want %q", tc.element, tc.name, got, ok, tc.want)
		}
	}
}

// FuzzParse: what is accepted is written such that it is read as the same again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"/Objects/2:Line/*", "<#!1:X>nsu=urn:a%3B;b", "Objects/**/{signal}", "/a&&b&.c", "/0:nsu=x;y", "/*:a", "/0:*", "//", "/1:2:3", "/nsu=%25;n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(p.String())
		if err != nil {
			t.Fatalf("%q is written as %q, which can't be read: %v", text, p, err)
		}
		if again.String() != p.String() || again.IsPattern() != p.IsPattern() || !reflect.DeepEqual(again.Captures(), p.Captures()) || len(again.Elements) != len(p.Elements) {
			t.Fatalf("%q becomes %q and then %q", text, p, again)
		}
		for i := range p.Elements {
			if name, plain := p.Elements[i].Plain(); plain {
				if _, ok := again.Elements[i].Match(name); !ok {
					t.Fatalf("element %d of %q does not match its own name %q", i, p, name)
				}
			}
		}
	})
}
