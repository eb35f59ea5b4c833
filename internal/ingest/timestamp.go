package ingest

import (
	"fmt"
	"math/big"
	"strings"
	"time"

	"plantgate/internal/mes"
)

// instant is a time as a message gave it, resolved to UTC.
type instant struct {
	time time.Time
	// alt is the other reading of a local time that occurs twice; zero otherwise.
	alt time.Time
}

// ParseTime reads a time that stands beside a message rather than in it: a number as of a
// member that is one, else a text. It returns both readings of a local time that occurs
// twice, the one that is nearest to receipt first.
func ParseTime(text string, isNumber bool, zone *time.Location, receivedAt time.Time) (at, alternative time.Time, err error) {
	n := node{kind: '"', text: text}
	if isNumber {
		n.kind = '0'
	}
	t, err := parseTimestamp(n, zone, receivedAt)
	return t.time, t.alt, err
}

// layouts of a time with and without an offset. Fractions of any length are
// accepted by time.Parse after the seconds, with a point or a comma.
var (
	offsetLayouts = []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07"}
	localLayout   = "2006-01-02T15:04:05"
)

const timestampHelp = "a time such as 2026-11-22T10:15:00Z, 2026-11-22 10:15:00.250 (local time of the site) or seconds or milliseconds since 1970"

// parseTimestamp reads a time as machines write it. A text without an offset is
// local time of zone; of a repeated hour the occurrence nearest to receipt is
// taken, and a time in a skipped hour is an error. A number counts seconds,
// milliseconds or microseconds since 1970, told apart by its size.
func parseTimestamp(n node, zone *time.Location, receivedAt time.Time) (instant, error) {
	switch n.kind {
	case '0':
		t, err := parseEpoch(n.text)
		return instant{time: t}, err
	case '"':
		return parseTimeText(n.text, zone, receivedAt)
	default:
		return instant{}, fmt.Errorf("must be %s, not %s", timestampHelp, n.kindName())
	}
}

func parseTimeText(text string, zone *time.Location, receivedAt time.Time) (instant, error) {
	t, local, ok := plainTime(text)
	if !ok {
		var err error
		if t, local, err = looseTime(text); err != nil {
			return instant{}, err
		}
	}
	if local {
		return resolveLocal(t, zone, receivedAt)
	}
	return instant{time: t}, nil
}

// plainTime reads what nearly all machines send: date and time of day with or
// without a fraction and an offset. What it does not take, looseTime may.
func plainTime(s string) (t time.Time, local, ok bool) {
	const dateAndTime = len("2006-01-02T15:04:05")
	if len(s) < dateAndTime || s[4] != '-' || s[7] != '-' || s[10] != 'T' && s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false, false
	}
	year, month, day := 100*digits(s[0:2])+digits(s[2:4]), digits(s[5:7]), digits(s[8:10])
	hour, minute, second := digits(s[11:13]), digits(s[14:16]), digits(s[17:19])
	micros, end := fraction(s, dateAndTime)
	offset, local, ok := zoneOffset(s[end:])
	if !ok || year < 1970 || month < 1 || hour < 0 || minute < 0 || second < 0 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, micros*1000, time.UTC)
	if t.Month() != time.Month(month) || t.Day() != day {
		return time.Time{}, false, false // there is no such day
	}
	return t.Add(-offset), local, true
}

// digits returns the number that two digits make, or much less than 0.
func digits(s string) int {
	if s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return -1_000_000
	}
	return 10*int(s[0]-'0') + int(s[1]-'0')
}

// fraction returns the microseconds of a fraction of up to nine digits at at, and
// where it ends: at at itself if there is none that it takes.
func fraction(s string, at int) (micros, end int) {
	if at == len(s) || s[at] != '.' {
		return 0, at
	}
	end = scanDigits(s, at+1)
	if n := end - at - 1; n < 1 || n > 9 {
		return 0, at
	}
	for i := at + 1; i < at+7; i++ {
		micros *= 10
		if i < end {
			micros += int(s[i] - '0')
		}
	}
	return micros, end
}

// zoneOffset reads what stands behind the time of day: nothing, Z, or an offset in
// hours and minutes.
func zoneOffset(s string) (offset time.Duration, local, ok bool) {
	switch {
	case s == "":
		return 0, true, true
	case s == "Z":
		return 0, false, true
	case len(s) != len("+00:00") || s[0] != '+' && s[0] != '-' || s[3] != ':':
		return 0, false, false
	}
	hours, minutes := digits(s[1:3]), digits(s[4:6])
	if hours < 0 || minutes < 0 || hours > 23 || minutes > 59 {
		return 0, false, false
	}
	offset = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if s[0] == '-' {
		offset = -offset
	}
	return offset, false, true
}

// looseTime reads a time in any of the ways that are understood.
func looseTime(text string) (t time.Time, local bool, err error) {
	s := strings.TrimSpace(text)
	if len(s) > 64 {
		return time.Time{}, false, fmt.Errorf("must be %s", timestampHelp)
	}
	s = strings.Replace(s, " UTC", "Z", 1)
	if len(s) > 10 && (s[10] == ' ' || s[10] == 't') {
		s = s[:10] + "T" + strings.TrimLeft(s[11:], " ")
	}
	s = strings.Replace(s, "z", "Z", 1)
	s = strings.Replace(s, " +", "+", 1)
	for _, layout := range offsetLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return mes.Micros(t), false, nil
		}
	}
	wall, err := time.ParseInLocation(localLayout, s, time.UTC)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("must be %s, not %q", timestampHelp, text)
	}
	return mes.Micros(wall), true, nil
}

// resolveLocal finds the instants at which clocks of the zone show wall.
func resolveLocal(wall time.Time, zone *time.Location, receivedAt time.Time) (instant, error) {
	if zone == time.UTC {
		return instant{time: wall}, nil
	}
	before, ok := readBy(wall, wall.Add(-26*time.Hour), zone)
	after, other := readBy(wall, wall.Add(26*time.Hour), zone)
	switch {
	case !ok && !other:
		return instant{}, fmt.Errorf("%s does not exist in %s: clocks were put forward over it", wall.Format("2006-01-02T15:04:05"), zone)
	case !other || ok && before.Equal(after):
		return instant{time: before}, nil
	case !ok:
		return instant{time: after}, nil
	}
	if receivedAt.Sub(before).Abs() <= receivedAt.Sub(after).Abs() {
		return instant{time: before, alt: after}, nil
	}
	return instant{time: after, alt: before}, nil
}

// readBy returns the instant at which clocks of the zone show wall if they go as
// they do at another time, and false if they don't.
func readBy(wall, as time.Time, zone *time.Location) (time.Time, bool) {
	_, offset := as.In(zone).Zone()
	t := wall.Add(-time.Duration(offset) * time.Second)
	_, at := t.In(zone).Zone()
	return t, at == offset
}

// Bounds of the units of a numeric time: seconds reach to the year 5138,
// milliseconds begin in March 1973.
var (
	maxEpochSeconds = big.NewRat(100_000_000_000, 1)
	maxEpochMillis  = big.NewRat(100_000_000_000_000, 1)
	maxEpochMicros  = big.NewRat(100_000_000_000_000_000, 1)
)

func parseEpoch(text string) (time.Time, error) {
	v, err := mes.Number(text)
	if err != nil {
		return time.Time{}, err
	}
	r, ok := new(big.Rat).SetString(v.Text())
	if !ok || r.Sign() <= 0 || r.Cmp(maxEpochMicros) >= 0 {
		return time.Time{}, fmt.Errorf("must be %s, not %s", timestampHelp, text)
	}
	switch {
	case r.Cmp(maxEpochSeconds) < 0:
		r.Mul(r, big.NewRat(1_000_000, 1))
	case r.Cmp(maxEpochMillis) < 0:
		r.Mul(r, big.NewRat(1000, 1))
	}
	micros := new(big.Int).Quo(r.Num(), r.Denom())
	return time.UnixMicro(micros.Int64()).UTC(), nil
}
