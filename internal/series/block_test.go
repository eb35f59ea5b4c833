package series

import (
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"plantgate/internal/mes"
)

func TestBlocks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		width            Width
		at, start, after string
	}{
		{Minute, "2026-11-22T10:15:59.999999Z", "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"},
		{Hour, "2026-11-22T10:15:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"},
		{Day, "2026-11-22T10:15:00Z", "2026-11-11T00:00:00Z", "2026-12-13T00:00:00Z"},
		{Minute, "1969-12-31T23:59:59Z", "1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z"},
		{Day, "1969-12-31T23:59:59Z", "1969-11-30T00:00:00Z", "1970-01-01T00:00:00Z"},
	} {
		b := BlockOf(c.width, day(c.at))
		if !b.Start().Equal(day(c.start)) || !b.End().Equal(day(c.after)) {
			t.Errorf("%s at %s: from %s to %s", c.width, c.at, b.Start(), b.End())
		}
		if slot := b.slot(c.width.Start(day(c.at))); slot < 0 || slot >= slotsOf(c.width) {
			t.Errorf("slot %d", slot)
		}
	}
}

// drawEntries returns the entries of a block as they are stored.
func drawEntries(rt *rapid.T, b Block) (entries []Entry) {
	for slot := range slotsOf(b.Width) {
		if rapid.IntRange(0, 3).Draw(rt, "there") == 0 {
			continue
		}
		e := Entry{Bucket: Bucket{Start: b.Start().Add(time.Duration(slot) * b.Width.Duration())}}
		for n := range rapid.IntRange(0, 4).Draw(rt, "samples") {
			at := e.Start.Add(time.Duration(rapid.Int64Range(0, int64(b.Width)*microsPerMinute-1).Draw(rt, "at")) * time.Microsecond)
			value := rapid.OneOf(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), rapid.Float64Range(-100, 100), rapid.SampledFrom([]float64{0, 72.31, -0.5, 1e17})).Draw(rt, "value")
			e.add(sampleAt(n, "a", at, mes.Float(value, 64)), true)
		}
		e.Bad += rapid.Int64Range(0, 2).Draw(rt, "bad")
		entries = replace(entries, e)
	}
	return entries
}

func TestBlockRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := BlockOf(rapid.SampledFrom([]Width{Minute, Hour, Day}).Draw(rt, "width"), day("2026-11-22T10:15:00Z"))
		want := drawEntries(rt, b)
		buckets, sketches := b.Encode(want)
		got, err := b.Decode(buckets, sketches)
		if err != nil || len(got) != len(want) {
			rt.Fatal(len(got), err)
		}
		for i := range got {
			if !reflect.DeepEqual(got[i].Bucket, want[i].Bucket) {
				rt.Fatalf("\n%+v, want\n%+v", got[i].Bucket, want[i].Bucket)
			}
			if (got[i].Sketch == nil) != (want[i].Sketch == nil) || got[i].Sketch != nil && !reflect.DeepEqual(encoded(got[i].Sketch), encoded(want[i].Sketch)) {
				rt.Fatalf("sketch %+v, want %+v", got[i].Sketch, want[i].Sketch)
			}
		}
		plain, err := b.Decode(buckets, nil)
		if err != nil || len(plain) != len(got) || len(plain) > 0 && plain[0].Sketch != nil {
			rt.Fatalf("without sketches: %v", err)
		}
	})
}

// goldenEntries are buckets of every shape.
func goldenEntries(b Block) []Entry {
	at := func(slot int, offset time.Duration) time.Time {
		return b.Start().Add(time.Duration(slot)*time.Minute + offset)
	}
	bucket := func(slot int, values ...mes.Value) Entry {
		e := Entry{Bucket: Bucket{Start: at(slot, 0)}}
		for i, v := range values {
			e.add(sampleAt(i, "a", at(slot, time.Duration(i)*1500*time.Millisecond), v), true)
		}
		return replace(nil, e)[0]
	}
	return []Entry{
		bucket(0, mes.Int(29)),
		bucket(1, mes.Bool(true), mes.Bool(true), mes.String("x")),
		bucket(7, mes.Float(72.31, 64), mes.Float(-0.125, 64), mes.Int(0), mes.Float(1e300, 64)),
		bucket(58, mes.Value{}),
		bucket(59, mes.Float(1.0/3, 64), mes.Int(1<<60)),
	}
}

// The bytes of stored blocks stay readable: what this test changes needs another
// version.
func TestStoredBlocksAreGolden(t *testing.T) {
	t.Parallel()
	b := BlockOf(Minute, day("2026-11-22T10:15:00Z"))
	buckets, sketches := b.Encode(goldenEntries(b))
	got := hex.EncodeToString(buckets) + "\n" + hex.EncodeToString(sketches) + "\n"
	path := filepath.Join("testdata", "block_1.hex")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("coded as\n%swant\n%s", got, want)
	}
	var parts [2][]byte
	for i, line := range strings.Fields(string(want)) {
		if parts[i], err = hex.DecodeString(line); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := b.Decode(parts[0], parts[1])
	if err != nil || !reflect.DeepEqual(entries, goldenEntries(b)) {
		t.Errorf("read as %+v, %v", entries, err)
	}
}

func TestDamagedBlocksAreTold(t *testing.T) {
	t.Parallel()
	b := BlockOf(Minute, day("2026-11-22T10:15:00Z"))
	buckets, sketches := b.Encode(goldenEntries(b))
	for n := range buckets {
		if _, err := b.Decode(buckets[:n], nil); err == nil {
			t.Errorf("cut after %d bytes it can be read", n)
		}
	}
	for n := range sketches {
		if _, err := b.Decode(buckets, sketches[:n:n]); err == nil {
			t.Errorf("with sketches cut after %d bytes it can be read", n)
		}
	}
	if _, err := b.Decode(append([]byte{2}, buckets[1:]...), nil); err == nil {
		t.Error("an unknown version can be read")
	}
}

func FuzzBlock(f *testing.F) {
	golden := BlockOf(Minute, day("2026-11-22T10:15:00Z"))
	buckets, sketches := golden.Encode(goldenEntries(golden))
	f.Add(byte(0), buckets, sketches)
	f.Add(byte(1), []byte{1, 0}, []byte{1, 0})
	f.Add(byte(2), []byte{1, 1, 31, 0, 1, 3, 8, 0}, []byte(nil))
	f.Fuzz(func(t *testing.T, width byte, buckets, sketches []byte) {
		b := BlockOf([]Width{Minute, Hour, Day}[width%3], day("2026-11-22T10:15:00Z"))
		entries, err := b.Decode(buckets, sketches)
		if err != nil {
			return
		}
		var whole Entry
		for _, e := range entries {
			whole.merge(e)
		}
		for i := range entries {
			if s := entries[i].sum; math.IsNaN(s) {
				entries[i].sum = math.Inf(1) // which is equal to itself
			}
		}
		coded, codedSketches := b.Encode(entries)
		if sketches == nil {
			codedSketches = nil
		}
		again, err := b.Decode(coded, codedSketches)
		if err != nil || len(again) != len(entries) || len(again) > 0 && !reflect.DeepEqual(again, entries) {
			t.Fatalf("%+v became %+v, %v", entries, again, err)
		}
	})
}

// yearOfHours are the blocks of 8760 hourly buckets of a signal at 1 Hz.
func yearOfHours() (blocks []Block, buckets, sketches [][]byte) {
	start := day("2026-01-01")
	for d := range 365 {
		block := BlockOf(Hour, start.Add(time.Duration(d)*24*time.Hour))
		var entries []Entry
		for h := range 24 {
			e := Entry{Bucket: Bucket{Start: block.Start().Add(time.Duration(h) * time.Hour)}}
			for s := range 360 {
				v := 70 + 5*math.Sin(float64(d*24+h)/17) + float64(s%50)/100
				e.add(sampleAt(s, "a", e.Start.Add(time.Duration(s)*10*time.Second), mes.Float(math.Round(v*100)/100, 64)), true)
			}
			entries = replace(entries, e)
		}
		b, s := block.Encode(entries)
		blocks, buckets, sketches = append(blocks, block), append(buckets, b), append(sketches, s)
	}
	return blocks, buckets, sketches
}

func BenchmarkDecodeYearOfHours(b *testing.B) {
	blocks, buckets, sketches := yearOfHours()
	size, sketchSize := 0, 0
	for i := range blocks {
		size, sketchSize = size+len(buckets[i]), sketchSize+len(sketches[i])
	}
	for _, with := range []string{"buckets", "sketches"} {
		b.Run(with, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for i, block := range blocks {
					s := sketches[i]
					if with == "buckets" {
						s = nil
					}
					if entries, err := block.Decode(buckets[i], s); err != nil || len(entries) != 24 {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(size)/8760, "B/bucket")
			b.ReportMetric(float64(sketchSize)/8760, "B/sketch")
		})
	}
}
