package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

const (
	magic         = "PGATEWAL"
	formatVersion = 1
	headerSize    = 32
	headSize      = 12
	// maxFrame keeps lengths far from where 32 bits end.
	maxFrame = 1 << 30

	suffix    = ".log"
	spareName = "spare"
	lockName  = "lock"
)

// segmentName is the name of the segment whose first frame is at the position.
func segmentName(first Position) string { return fmt.Sprintf("%016x%s", uint64(first), suffix) }

// parseName is the inverse of segmentName.
func parseName(name string) (Position, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 16, 64)
	if err != nil || segmentName(Position(first)) != name {
		return 0, false
	}
	return Position(first), true
}

// header begins a segment.
type header struct {
	id    uint64
	first Position
}

func (h header) append(b []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = binary.LittleEndian.AppendUint64(b, h.id)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.first))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli()))
}

func parseHeader(b []byte) (header, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < headerSize || string(b[:8]) != magic:
		return header{}, errors.New("is not a segment of a log")
	case le.Uint32(b[headerSize-4:]) != crc32.Checksum(b[:headerSize-4], castagnoli()):
		return header{}, errors.New("has a damaged header")
	case le.Uint32(b[8:]) != formatVersion:
		return header{}, fmt.Errorf("has version %d, and only %d is known", le.Uint32(b[8:]), formatVersion)
	}
	return header{id: le.Uint64(b[12:]), first: Position(le.Uint64(b[20:]))}, nil
}

// appendFrame appends the data as the frame at the position.
func appendFrame(b []byte, id uint64, at Position, data []byte) []byte {
	size := uint32(len(data))
	sum := headSum(id, at, size)
	b = binary.LittleEndian.AppendUint32(b, size)
	b = binary.LittleEndian.AppendUint32(b, sum)
	b = binary.LittleEndian.AppendUint32(b, crc32.Update(sum, castagnoli(), data))
	return append(b, data...)
}

// parseHead returns the length of the data behind a head, and what their
// checksum is to be. No frame is longer than limit, head and data.
func parseHead(b []byte, id uint64, at Position, limit int64) (size int, want uint32, ok bool) {
	if len(b) < headSize {
		return 0, 0, false
	}
	length := binary.LittleEndian.Uint32(b)
	if length == 0 || length > maxFrame || int64(length)+headSize > limit {
		return 0, 0, false
	}
	if binary.LittleEndian.Uint32(b[4:]) != headSum(id, at, length) {
		return 0, 0, false
	}
	return int(length), binary.LittleEndian.Uint32(b[8:]), true
}

// isData tells whether data belong to the head they follow.
func isData(head, data []byte, want uint32) bool {
	return crc32.Update(binary.LittleEndian.Uint32(head[4:]), castagnoli(), data) == want
}

func headSum(id uint64, at Position, size uint32) uint32 {
	var b [20]byte
	binary.LittleEndian.PutUint64(b[:], id)
	binary.LittleEndian.PutUint64(b[8:], uint64(at))
	binary.LittleEndian.PutUint32(b[16:], size)
	return crc32.Checksum(b[:], castagnoli())
}

// castagnoli is made once, by package crc32.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
