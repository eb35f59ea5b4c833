package topic

import "strings"

// Overlap tells whether any topic is for both patterns. A level with a placeholder in it,
// whatever its name, counts as +: a topic that is published to may be given as a template
// such as {site}/{machine}/orders. The prefix of a shared subscription does not count. As
// in Match, a wildcard in the first level is for no topic that begins with $.
func Overlap(a, b string) bool {
	left, right := levelsOf(a), levelsOf(b)
	if isWild(left[0]) && strings.HasPrefix(right[0], "$") || isWild(right[0]) && strings.HasPrefix(left[0], "$") {
		return false
	}
	for i := 0; ; i++ {
		switch {
		case i < len(left) && left[i] == "#" || i < len(right) && right[i] == "#":
			return true // also for the parent level: a/# is for a
		case i == len(left) || i == len(right):
			return len(left) == len(right)
		case !isWild(left[i]) && !isWild(right[i]) && left[i] != right[i]:
			return false
		}
	}
}

// levelsOf returns the levels of a filter with placeholders as +.
func levelsOf(pattern string) []string {
	if rest, shared := strings.CutPrefix(pattern, "$share/"); shared {
		_, pattern, _ = strings.Cut(rest, "/")
	}
	levels := strings.Split(pattern, "/")
	for i, level := range levels {
		if strings.ContainsAny(level, "{}") {
			levels[i] = "+"
		}
	}
	return levels
}

func isWild(level string) bool { return level == "+" || level == "#" }
