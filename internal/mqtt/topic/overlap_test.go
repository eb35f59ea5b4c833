package topic_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"plantgate/internal/mqtt/topic"
)

func TestOverlap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want bool
	}{
		{"plant/state", "plant/state", true},
		{"plant/state", "plant/data", false},
		{"plant/state", "plant/state/x", false},
		{"plant/#", "plant/state", true},
		{"plant/#", "plant", true},
		{"plant/+", "plant", false},
		{"plant/+/data", "plant/{machine}/orders", false},
		{"plant/+/{line}", "plant/{machine}/orders", true},
		{"plant/{site}/cmd-{machine}", "plant/s1/cmd-M1", true},
		{"#", "{site}/{machine}", true},
		{"#", "$SYS/uptime", false},
		{"+/uptime", "$SYS/uptime", false},
		{"{site}/uptime", "$SYS/uptime", false},
		{"$SYS/#", "$SYS/uptime", true},
		{"$share/g/plant/+", "plant/state", true},
		{"$share/g/plant/+", "$share/h/plant/#", true},
		{"a/+/c/#", "a/b/+", true},
		{"a/+/c/#", "a/b/d", false},
		{"+/+", "a/#", true},
		{"a", "A", false},
	}
	for _, tt := range tests {
		if topic.Overlap(tt.a, tt.b) != tt.want || topic.Overlap(tt.b, tt.a) != tt.want {
			t.Errorf("Overlap(%q, %q) is not %v in both directions", tt.a, tt.b, tt.want)
		}
	}
}

// TestOverlapIsThatOfMatch holds Overlap to what it means, with random patterns of few
// names: it is true exactly where some topic matches both.
func TestOverlapIsThatOfMatch(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	names := topicsOf([]string{"a", "b", "$x", ""}, 4)
	seen := map[bool]int{}
	for range 3000 {
		a, b := randomPattern(random), randomPattern(random)
		p, err := topic.Parse(a)
		if err != nil {
			t.Fatal(err)
		}
		q, err := topic.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		want, witness := false, ""
		for _, name := range names {
			_, left := p.Match(name)
			_, right := q.Match(name)
			if left && right {
				want, witness = true, name
				break
			}
		}
		seen[want]++
		if got := topic.Overlap(a, b); got != want {
			t.Fatalf("Overlap(%q, %q) = %v, but a topic of both is %q", a, b, got, witness)
		}
	}
	if seen[true] < 300 || seen[false] < 300 {
		t.Errorf("the patterns are too much alike: %v", seen)
	}
}

// topicsOf returns every topic of at most depth levels.
func topicsOf(levels []string, depth int) []string {
	var all []string
	last := levels
	for range depth {
		all = append(all, last...)
		var longer []string
		for _, prefix := range last {
			for _, level := range levels {
				longer = append(longer, prefix+"/"+level)
			}
		}
		last = longer
	}
	return all
}

func randomPattern(random *rand.Rand) string {
	captures := []string{"{site}", "{line}", "{machine}"}
	var levels []string
	for range 1 + random.IntN(3) {
		switch n := random.IntN(9); {
		case n < 3:
			levels = append(levels, "a")
		case n < 5:
			levels = append(levels, "b")
		case n == 5 && len(levels) == 0:
			levels = append(levels, "$x")
		case n < 8 && len(levels) < len(captures):
			levels = append(levels, captures[len(levels)])
		default:
			levels = append(levels, "+")
		}
	}
	if random.IntN(4) == 0 {
		levels = append(levels, "#")
	}
	return strings.Join(levels, "/")
}

// FuzzOverlap checks that a topic that matches two patterns makes them overlap.
func FuzzOverlap(f *testing.F) {
	f.Add("a/+/c", "a/{machine}/#", "a/b/c")
	f.Add("$share/g/#", "$SYS/x", "$SYS/x")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		overlap := topic.Overlap(a, b)
		if overlap != topic.Overlap(b, a) {
			t.Fatalf("Overlap(%q, %q) depends on the order", a, b)
		}
		p, err := topic.Parse(a)
		if err != nil {
			return
		}
		q, err := topic.Parse(b)
		if err != nil {
			return
		}
		_, left := p.Match(name)
		_, right := q.Match(name)
		if left && right && !overlap {
			t.Fatalf("%q matches %q and %q, which are said not to overlap", name, a, b)
		}
	})
}
