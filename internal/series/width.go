package series

import (
	"strconv"
	"strings"
	"time"

	"plantgate/internal/mes"
)

// Width is the width of a bucket in minutes. Buckets begin at whole multiples of
// their width, counted from Monday 0001-01-01T00:00:00Z, so that those of 7d
// begin on Mondays.
type Width int64

// Raw asks for the samples themselves, Auto for a width that fits the number of
// points. Roll-ups are stored for a minute, an hour and a day.
const (
	Auto   Width = -1
	Raw    Width = 0
	Minute Width = 1
	Hour   Width = 60
	Day    Width = 24 * 60
)

// maxWidth is the greatest width that can be asked for.
const maxWidth = 400 * Day

// originMinute is the number of minutes from 0001-01-01 to 1970-01-01.
const originMinute = 719162 * int64(Day)

const microsPerMinute = 60_000_000

// ParseWidth reads raw, auto, or a number of minutes, hours or days such as 5m,
// 2h, 1d.
func ParseWidth(text string) (Width, error) {
	switch text {
	case "raw":
		return Raw, nil
	case "auto":
		return Auto, nil
	}
	for suffix, factor := range map[string]Width{"m": Minute, "h": Hour, "d": Day} {
		digits, ok := strings.CutSuffix(text, suffix)
		if !ok || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || n < 1 || Width(n) > maxWidth/factor {
			break
		}
		return Width(n) * factor, nil
	}
	return Auto, mes.Errorf(mes.CodeInvalid, "must be raw, auto, or minutes, hours or days from 1m to 400d, such as 5m, 2h or 1d")
}

// String is the inverse of ParseWidth, in the greatest unit that divides it.
func (w Width) String() string {
	switch {
	case w == Raw:
		return "raw"
	case w < Raw:
		return "auto"
	case w%Day == 0:
		return strconv.FormatInt(int64(w/Day), 10) + "d"
	case w%Hour == 0:
		return strconv.FormatInt(int64(w/Hour), 10) + "h"
	default:
		return strconv.FormatInt(int64(w), 10) + "m"
	}
}

// MarshalText makes widths appear as ParseWidth reads them.
func (w Width) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// Duration is the width as a time.
func (w Width) Duration() time.Duration { return time.Duration(w) * time.Minute }

// Start is the beginning of the bucket that holds t.
func (w Width) Start(t time.Time) time.Time { return timeOf(w.start(minuteOf(t))) }

// index numbers the buckets of a width from the origin.
func (w Width) index(minute int64) int64 { return floorDiv(minute+originMinute, int64(w)) }

// start is the first minute of the bucket that holds the minute.
func (w Width) start(minute int64) int64 { return w.index(minute)*int64(w) - originMinute }

// steps are the widths that Auto chooses from, and that a refusal proposes.
func steps() []Width {
	return []Width{
		Minute, 2 * Minute, 5 * Minute, 10 * Minute, 15 * Minute, 30 * Minute,
		Hour, 2 * Hour, 3 * Hour, 4 * Hour, 6 * Hour, 12 * Hour,
		Day, 2 * Day, 7 * Day, 14 * Day, 28 * Day, 84 * Day, 364 * Day,
	}
}

// fitting is the least of the steps that makes at most n buckets of a span, or
// the greatest of them if none does.
func fitting(from, to time.Time, n int64) Width {
	list := steps()
	for _, w := range list {
		if w.count(from, to) <= n {
			return w
		}
	}
	return list[len(list)-1]
}

// count is the number of buckets that a span touches.
func (w Width) count(from, to time.Time) int64 {
	last := minuteOf(to.Add(-time.Microsecond))
	return w.index(last) - w.index(minuteOf(from)) + 1
}

// minuteOf numbers minutes from 1970.
func minuteOf(t time.Time) int64 { return floorDiv(t.UnixMicro(), microsPerMinute) }

func timeOf(minute int64) time.Time { return time.UnixMicro(minute * microsPerMinute).UTC() }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
