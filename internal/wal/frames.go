package wal

import (
	"errors"
	"io"
	"slices"
)

// chunk is how much of a file one read fetches.
const chunk = 256 << 10

// errNoFrame says that there is no whole frame of the log at a position.
var errNoFrame = errors.New("no valid frame")

// frames reads the frames of one segment, in order. Its memory is bounded by the
// file's size, whatever the file says.
type frames struct {
	file   io.ReaderAt
	header header
	at     Position // of the next frame

	buf   []byte
	start int64 // offset of buf in the file
}

// offset is where in the file the next frame is.
func (f *frames) offset() int64 { return headerSize + int64(f.at-f.header.first) }

// next returns the frame at the position and goes on behind it. Limit is the
// offset behind the last byte that may belong to it. The frame is valid until the
// next call.
func (f *frames) next(limit int64) ([]byte, error) {
	offset := f.offset()
	head, err := f.bytes(offset, headSize, limit)
	if err != nil {
		return nil, err
	}
	size, want, ok := parseHead(head, f.header.id, f.at, limit-offset)
	if !ok {
		return nil, errNoFrame
	}
	whole, err := f.bytes(offset, headSize+size, limit)
	if err != nil {
		return nil, err
	}
	if !isData(whole, whole[headSize:], want) {
		return nil, errNoFrame
	}
	f.at += Position(len(whole))
	return whole[headSize:], nil
}

// bytes returns n bytes at the offset.
func (f *frames) bytes(offset int64, n int, limit int64) ([]byte, error) {
	if offset+int64(n) > limit {
		return nil, errNoFrame
	}
	if offset < f.start || offset+int64(n) > f.start+int64(len(f.buf)) {
		if err := f.fill(offset, n, limit); err != nil {
			return nil, err
		}
	}
	from := offset - f.start
	return f.buf[from : from+int64(n) : from+int64(n)], nil
}

// fill reads n bytes and as many behind them as there is memory for. Memory for
// frames that were much larger than others is given back.
func (f *frames) fill(offset int64, n int, limit int64) error {
	size := max(cap(f.buf), chunk)
	switch {
	case n > size:
		size = n + chunk
	case size > keepMemory && n <= chunk:
		size, f.buf = chunk, nil
	}
	want := int(min(int64(size), limit-offset))
	f.buf, f.start = slices.Grow(f.buf[:0], want)[:want], offset
	read, err := f.file.ReadAt(f.buf, offset)
	f.buf = f.buf[:max(read, 0)]
	if read >= n {
		return nil
	}
	f.forget()
	if errors.Is(err, io.EOF) {
		return errNoFrame
	}
	return err
}

// forget makes the next call read the file again.
func (f *frames) forget() { f.buf = f.buf[:0] }

// findLater looks for a valid frame behind the one at the position, which is
// damaged, and returns its offset.
func (f *frames) findLater(limit int64) (int64, bool, error) {
	was := f.at
	defer func() { f.at = was }()
	for f.at++; f.offset()+headSize < limit; f.at++ {
		head, err := f.bytes(f.offset(), headSize, limit)
		if err != nil {
			return 0, false, err
		}
		if _, _, ok := parseHead(head, f.header.id, f.at, limit-f.offset()); !ok {
			continue
		}
		offset := f.offset()
		if _, err := f.next(limit); err == nil {
			return offset, true, nil
		} else if !errors.Is(err, errNoFrame) {
			return 0, false, err
		}
	}
	return 0, false, nil
}
