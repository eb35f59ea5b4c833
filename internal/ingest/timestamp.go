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
	s := strings.TrimSpace(text)
	if len(s) > 64 {
		return instant{}, fmt.Errorf("must be %s", timestampHelp)
	}
	s = strings.Replace(s, " UTC", "Z", 1)
	if len(s) > 10 && (s[10] == ' ' || s[10] == 't') {
		s = s[:10] + "T" + strings.TrimLeft(s[11:], " ")
	}
	s = strings.Replace(s, "z", "Z", 1)
	s = strings.Replace(s, " +", "+", 1)
	for _, layout := range offsetLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return instant{time: mes.Micros(t)}, nil
		}
	}
	wall, err := time.ParseInLocation(localLayout, s, time.UTC)
	if err != nil {
		return instant{}, fmt.Errorf("must be %s, not %q", timestampHelp, text)
	}
	return resolveLocal(mes.Micros(wall), zone, receivedAt)
}

// resolveLocal finds the instants at which clocks of the zone show wall.
func resolveLocal(wall time.Time, zone *time.Location, receivedAt time.Time) (instant, error) {
	var found []time.Time
	for _, probe := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, offset := wall.Add(probe).In(zone).Zone()
		candidate := wall.Add(-time.Duration(offset) * time.Second)
		_, at := candidate.In(zone).Zone()
		if at == offset && (len(found) == 0 || !found[0].Equal(candidate)) {
			found = append(found, candidate)
		}
	}
	switch len(found) {
	case 0:
		return instant{}, fmt.Errorf("%s does not exist in %s: clocks were put forward over it", wall.Format("2006-01-02T15:04:05"), zone)
	case 1:
		return instant{time: found[0]}, nil
	}
	if receivedAt.Sub(found[0]).Abs() <= receivedAt.Sub(found[1]).Abs() {
		return instant{time: found[0], alt: found[1]}, nil
	}
	return instant{time: found[1], alt: found[0]}, nil
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
