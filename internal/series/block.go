package series

import (
	"encoding/binary"
	"math"
	"time"

	"plantgate/internal/mes"
)

// Entry is a stored bucket and its sketch, which is nil if it was not asked for
// or if the bucket has no numbers.
type Entry struct {
	Bucket
	Sketch *Sketch
}

// merge adds the samples of another entry.
func (e *Entry) merge(o Entry) {
	e.Bucket.Merge(o.Bucket)
	if o.Sketch == nil {
		return
	}
	if e.Sketch == nil {
		e.Sketch = &Sketch{}
	}
	e.Sketch.Merge(o.Sketch)
}

// add adds a sample, to the sketch too if it is wanted.
func (e *Entry) add(s Sample, sketched bool) {
	value, ok := s.Number()
	if !ok {
		e.AddBad()
		return
	}
	e.Add(s.Position, value)
	if !sketched {
		return
	}
	if e.Sketch == nil {
		e.Sketch = &Sketch{}
	}
	e.Sketch.Add(value)
}

// Block names the row that holds the buckets of one signal which follow one
// another: the 60 minutes of an hour, the 24 hours of a day, 32 days.
type Block struct {
	Width  Width
	Number int64
}

// daysPerBlock is how many days one block holds.
const daysPerBlock = 32

// BlockOf is the block of a stored width that holds t.
func BlockOf(w Width, t time.Time) Block {
	return Block{w, floorDiv(minuteOf(t), int64(w)*slotsOf(w))}
}

// Start is the beginning of the block's first bucket.
func (b Block) Start() time.Time { return timeOf(b.Number * int64(b.Width) * slotsOf(b.Width)) }

// End is the end of the block's last bucket.
func (b Block) End() time.Time { return Block{b.Width, b.Number + 1}.Start() }

func slotsOf(w Width) int64 {
	switch w {
	case Minute:
		return 60
	case Hour:
		return 24
	default:
		return daysPerBlock
	}
}

// slot is the place of a bucket in its block.
func (b Block) slot(start time.Time) int64 {
	return floorDiv(minuteOf(start), int64(b.Width)) - b.Number*slotsOf(b.Width)
}

// blockVersion is the first byte of stored blocks, so that another coding can
// be told from this one.
const blockVersion = 1

// Flags of a coded bucket.
const (
	// flagFlat: all numbers are the same, and their sum is their product with the
	// count.
	flagFlat = 1 << iota
	// flagInstant: the first and the last number are of the same time.
	flagInstant
	knownFlags = flagFlat | flagInstant
)

// Encode packs entries of the block, which are in ascending order of time. The
// sum of a bucket is rounded to a double; times of first and last are kept, the
// rest of their positions is not: spans that are merged never share a time.
func (b Block) Encode(entries []Entry) (buckets, sketches []byte) {
	buckets = binary.AppendUvarint([]byte{blockVersion}, uint64(len(entries)))
	var sketched uint64
	for _, e := range entries {
		buckets = b.appendBucket(buckets, &e.Bucket)
		if e.Sketch != nil {
			sketched++
		}
	}
	sketches = binary.AppendUvarint([]byte{blockVersion}, sketched)
	var coded []byte
	for _, e := range entries {
		if e.Sketch != nil {
			coded = appendSketch(coded[:0], e.Sketch)
			sketches = append(sketches, byte(b.slot(e.Start)))
			sketches = binary.AppendUvarint(sketches, uint64(len(coded)))
			sketches = append(sketches, coded...)
		}
	}
	return buckets, sketches
}

func (b Block) appendBucket(data []byte, c *Bucket) []byte {
	data = append(data, byte(b.slot(c.Start)))
	data = binary.AppendUvarint(data, uint64(c.Bad))
	data = binary.AppendUvarint(data, uint64(c.Count))
	if c.Count == 0 {
		return data
	}
	sum := c.Sum()
	var flags byte
	if c.Min == c.Max && sum == c.Min*float64(c.Count) {
		flags |= flagFlat
	}
	if c.FirstAt.Time.Equal(c.LastAt.Time) {
		flags |= flagInstant
	}
	data = append(data, flags)
	data = appendNumber(data, c.First)
	if flags&flagFlat == 0 {
		for _, v := range []float64{c.Min, c.Max, c.Last, sum} {
			data = appendNumber(data, v)
		}
	}
	data = binary.AppendUvarint(data, uint64(c.FirstAt.Time.Sub(c.Start).Microseconds()))
	if flags&flagInstant == 0 {
		data = binary.AppendUvarint(data, uint64(c.LastAt.Time.Sub(c.FirstAt.Time).Microseconds()))
	}
	return data
}

// Decode unpacks a block in ascending order of time. Without sketches, which may
// be nil, the entries have none. Damaged bytes are an error.
func (b Block) Decode(buckets, sketches []byte) ([]Entry, error) {
	r := &reader{rest: buckets}
	n := r.start(b)
	entries := make([]Entry, n)
	before := int64(-1)
	for i := range entries {
		before = b.readBucket(r, &entries[i].Bucket, before)
		if r.err != nil {
			return nil, r.err
		}
	}
	if r.err != nil || len(r.rest) > 0 {
		return nil, errDamaged
	}
	if sketches == nil {
		return entries, nil
	}
	return entries, b.decodeSketches(entries, sketches)
}

// start reads what both parts of a block begin with: version and count.
func (r *reader) start(b Block) int64 {
	if r.byte() != blockVersion {
		r.fail()
	}
	return r.count(slotsOf(b.Width))
}

// maxCount bounds counts, so that sums of them can't overflow.
const maxCount = 1 << 48

// readBucket returns the slot of what it read, which is after the one before.
func (b Block) readBucket(r *reader, c *Bucket, before int64) int64 {
	slot := int64(r.byte())
	if slot <= before || slot >= slotsOf(b.Width) {
		r.fail()
	}
	c.Start = timeOf((b.Number*slotsOf(b.Width) + slot) * int64(b.Width))
	c.Bad, c.Count = r.count(maxCount), r.count(maxCount)
	if c.Count == 0 {
		return slot
	}
	flags := r.byte()
	if flags&^knownFlags != 0 {
		r.fail()
	}
	c.First = r.finite()
	if flags&flagFlat != 0 {
		c.Min, c.Max, c.Last = c.First, c.First, c.First
		c.sum = c.First * float64(c.Count)
	} else {
		c.Min, c.Max, c.Last, c.sum = r.finite(), r.finite(), r.finite(), r.number()
	}
	first := r.count(int64(b.Width)*microsPerMinute - 1)
	last := first
	if flags&flagInstant == 0 {
		last += r.count(int64(b.Width)*microsPerMinute - 1 - first)
	}
	if c.Min > min(c.First, c.Last) || c.Max < max(c.First, c.Last) {
		r.fail()
	}
	at := c.Start.UnixMicro()
	c.FirstAt = mes.Position{Time: time.UnixMicro(at + first).UTC()}
	c.LastAt = mes.Position{Time: time.UnixMicro(at + last).UTC()}
	return slot
}

// decodeSketches gives every entry its sketch: those with numbers have one, with
// as many numbers.
func (b Block) decodeSketches(entries []Entry, data []byte) error {
	r := &reader{rest: data}
	n := r.start(b)
	i := 0
	for range n {
		slot := int64(r.byte())
		coded := r.bytes(r.count(math.MaxInt32))
		if r.err != nil {
			return r.err
		}
		for i < len(entries) && b.slot(entries[i].Start) < slot {
			i++
		}
		if i == len(entries) || b.slot(entries[i].Start) != slot {
			return errDamaged
		}
		s, err := decodeSketch(coded)
		if err != nil {
			return err
		}
		if s.Count() != uint64(entries[i].Count) {
			return errDamaged
		}
		entries[i].Sketch = s
		i++
	}
	if r.err != nil || len(r.rest) > 0 {
		return errDamaged
	}
	for i := range entries {
		if entries[i].Count > 0 && entries[i].Sketch == nil {
			return errDamaged
		}
	}
	return nil
}
