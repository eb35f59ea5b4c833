package series

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"plantgate/internal/mes"
)

type blockKey struct {
	signal string
	block  Block
}

// memory is a source and a store of roll-ups of one unit.
type memory struct {
	samples []Sample
	marks   map[int64]int64
	blocks  map[blockKey][2][]byte
	// appended is called within a transaction, before marks are cleared.
	appended func(*memory)
	reads    int
}

var press = Unit{"main", "M001"}

func newMemory() *memory {
	return &memory{marks: map[int64]int64{}, blocks: map[blockKey][2][]byte{}}
}

// append stores samples and marks their minutes.
func (m *memory) append(samples ...Sample) {
	m.samples = append(m.samples, samples...)
	slices.SortStableFunc(m.samples, func(a, b Sample) int { return a.Position.Compare(b.Position) })
	for _, s := range samples {
		m.marks[minuteOf(s.Position.Time)]++
	}
}

func (m *memory) Samples(_ context.Context, _ Unit, signals []string, from, to time.Time, yield func(Sample) error) error {
	m.reads++
	for _, s := range m.samples {
		if s.Position.Time.Before(from) || !s.Position.Time.Before(to) || len(signals) > 0 && !slices.Contains(signals, s.Signal) {
			continue
		}
		if err := yield(s); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Rollups(_ context.Context, _ Unit, signal string, width Width, from, to time.Time, sketches bool, yield func(Entry) error) error {
	m.reads++
	for b := BlockOf(width, from); b.Start().Before(to); b.Number++ {
		stored, ok := m.blocks[blockKey{signal, b}]
		if !ok {
			continue
		}
		if !sketches {
			stored[1] = nil
		}
		entries, err := b.Decode(stored[0], stored[1])
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Start.Before(from) || !e.Start.Before(to) {
				continue
			}
			if err := yield(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) DueMinutes(_ context.Context, _ Unit, from, to time.Time) ([]time.Time, error) {
	var due []time.Time
	for minute := range m.marks {
		if t := timeOf(minute); !t.Before(from) && t.Before(to) {
			due = append(due, t)
		}
	}
	slices.SortFunc(due, time.Time.Compare)
	return due, nil
}

func (m *memory) UnitsOfMeasure(context.Context, Unit, []string) (map[string]string, error) {
	return map[string]string{"a": "Cel"}, nil
}

func (m *memory) DueMarks(_ context.Context, after Mark, before time.Time, limit int) ([]Mark, error) {
	var marks []Mark
	for minute, generation := range m.marks {
		if t := timeOf(minute); t.Before(before) && (after.Unit == Unit{} || t.After(after.Minute)) {
			marks = append(marks, Mark{press, t, generation})
		}
	}
	slices.SortFunc(marks, func(a, b Mark) int { return a.Minute.Compare(b.Minute) })
	return marks[:min(limit, len(marks))], nil
}

func (m *memory) UpdateRollups(_ context.Context, fn func(RollupTx) error) error {
	if m.appended != nil {
		m.appended(m)
	}
	marks, blocks := maps.Clone(m.marks), maps.Clone(m.blocks)
	err := fn(m)
	if err != nil {
		m.marks, m.blocks = marks, blocks
	}
	return err
}

func (m *memory) ClearMark(_ context.Context, mark Mark) (bool, error) {
	minute := minuteOf(mark.Minute)
	if m.marks[minute] != mark.Generation {
		return false, nil
	}
	delete(m.marks, minute)
	return true, nil
}

func (m *memory) RollupBlock(_ context.Context, _ Unit, signal string, block Block) (buckets, sketches []byte, err error) {
	stored := m.blocks[blockKey{signal, block}]
	return stored[0], stored[1], nil
}

func (m *memory) PutRollupBlock(_ context.Context, _ Unit, signal string, block Block, buckets, sketches []byte) error {
	m.blocks[blockKey{signal, block}] = [2][]byte{buckets, sketches}
	return nil
}

// answer is what a sink got.
type answer struct {
	signal, unit string
	buckets      []Bucket
	percentiles  [][]float64
	points       []Sample
}

type recorder struct{ answers []answer }

func (r *recorder) Signal(name, unit string) error {
	r.answers = append(r.answers, answer{signal: name, unit: unit})
	return nil
}

func (r *recorder) last() *answer { return &r.answers[len(r.answers)-1] }

func (r *recorder) Bucket(b *Bucket, percentiles []float64) error {
	r.last().buckets = append(r.last().buckets, *b)
	r.last().percentiles = append(r.last().percentiles, slices.Clone(percentiles))
	return nil
}

func (r *recorder) Point(s Sample) error {
	r.last().points = append(r.last().points, s)
	return nil
}

// sampleAt is the n-th sample of a test.
func sampleAt(n int, signal string, at time.Time, value mes.Value) Sample {
	id := mes.ID{}
	copy(id[:], fmt.Sprintf("%016d", n))
	return Sample{Signal: signal, Position: mes.Position{Time: at, ID: id}, Value: value}
}

func day(text string) time.Time {
	if !strings.Contains(text, "T") {
		text += "T00:00:00Z"
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}
