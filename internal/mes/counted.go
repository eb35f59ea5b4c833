package mes

import "strconv"

// Counted is a number with its noun, as people read it: 1 record, 2 records.
func Counted[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(int64(n), 10) + " " + noun + "s"
}
