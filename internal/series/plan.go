package series

import (
	"slices"
	"time"
)

// plan says for every part of a query's time where its figures come from: from
// records where it begins or ends within a minute and in due minutes, elsewhere
// from the largest stored buckets that fit.
type plan struct {
	from, to time.Time
	width    Width
	// first and last bound the whole minutes: first ≤ minute < last.
	first, last int64
	// due are the due ones among them, ascending.
	due []int64
}

func newPlan(from, to time.Time, width Width, due []time.Time) *plan {
	p := &plan{from: from, to: to, width: width}
	p.first, p.last = wholeMinutes(from, to)
	for _, t := range due {
		if m := minuteOf(t); m >= p.first && m < p.last {
			p.due = append(p.due, m)
		}
	}
	return p
}

// wholeMinutes are those between from and to; last ≤ first if there is none.
func wholeMinutes(from, to time.Time) (first, last int64) {
	first, last = minuteOf(from), minuteOf(to)
	if timeOf(first).Before(from) {
		first++
	}
	return first, last
}

// isDue tells whether a minute of [from, to) is due.
func (p *plan) isDue(from, to int64) bool {
	if len(p.due) == 0 {
		return false
	}
	i, found := slices.BinarySearch(p.due, from)
	return found || i < len(p.due) && p.due[i] < to
}

// fromRecords tells whether the figures of the time come from records.
func (p *plan) fromRecords(t time.Time) bool {
	m := minuteOf(t)
	return m < p.first || m >= p.last || p.isDue(m, m+1)
}

// stored is the width of the stored bucket that the minute is read from, and
// false if its figures come from records. Minutes before first and from last on
// have none.
func (p *plan) stored(minute int64) (Width, bool) {
	cell := p.width.start(minute)
	low, high := max(cell, p.first), min(cell+int64(p.width), p.last)
	for _, w := range []Width{Day, Hour} {
		start := floorDiv(minute, int64(w)) * int64(w)
		end := start + int64(w)
		if start >= low && end <= high && !p.isDue(start, end) {
			return w, true
		}
	}
	if minute < p.first || minute >= p.last || p.isDue(minute, minute+1) {
		return 0, false
	}
	return Minute, true
}

// span is from ≤ time < to.
type span struct{ from, to time.Time }

// recordGap is how much more is read, rather than to ask once more.
const recordGap = 5 * int64(Minute)

// records are the spans of time whose records are read. What they have between
// parts that fromRecords tells is to be passed over.
func (p *plan) records() []span {
	if p.first >= p.last {
		return []span{{p.from, p.to}} // within one minute, or two
	}
	var list []span
	add := func(from, to time.Time) {
		if !from.Before(to) {
			return
		}
		if n := len(list); n > 0 && minuteOf(from)-minuteOf(list[n-1].to) <= recordGap {
			list[n-1].to = to
			return
		}
		list = append(list, span{from, to})
	}
	add(p.from, timeOf(p.first))
	for _, m := range p.due {
		add(timeOf(m), timeOf(m+1))
	}
	add(timeOf(p.last), p.to)
	return list
}

// recordMinutes is about how many minutes of records are read.
func (p *plan) recordMinutes() int { return len(p.due) + 2 }

// minutes is a span in minutes, of stored buckets of one width.
type minutes struct{ from, to int64 }

// reads are the spans whose stored buckets of the width are read for the minutes
// from low to high. Gaps of less than a block are read over: what is in them is
// to be passed over by stored.
func (p *plan) reads(low, high int64) map[Width][]minutes {
	reads := make(map[Width][]minutes, 3)
	for m := max(low, p.first); m < min(high, p.last); {
		w, ok := p.stored(m)
		if !ok {
			m++
			continue
		}
		next := m + int64(w)
		list := reads[w]
		if n := len(list); n > 0 && m-list[n-1].to <= int64(w)*slotsOf(w) {
			list[n-1].to = next
		} else {
			reads[w] = append(list, minutes{m, next})
		}
		m = next
	}
	return reads
}
