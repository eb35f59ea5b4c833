// Package wal is a durable log of frames of bytes on the local disk. A frame is
// on the disk when Append returns; whoever applies the frames elsewhere reads
// them in order and releases what is no longer needed.
//
// The log is a chain of segment files, each named after the position of its first
// frame (16 hex digits and ".log"):
//
//	header  magic [8] | version u32 | id u64 | first position u64 | crc32c u32
//	frame   length u32 | crc32c of id, position and length u32 | crc32c u32 | data
//
// Numbers are little endian. Positions count the frames of all segments, heads
// included and headers not, so that a segment begins where the one before it
// ends. The third number of a frame goes on from the second over the data. Both
// depend on the position and on the log's id, which is random: neither what a
// recycled segment held before nor a frame that somebody sent as data is ever
// taken for a frame of the log. The second number by itself finds the frames
// behind a damaged one.
//
// Segments are filled with zeros, or with what they held before, ahead of their
// use: an append then overwrites blocks that the file has, and its sync need not
// wait for the file system's journal. A segment gets its name only after its
// first frame is durable. At most the last frame of the log can therefore be torn,
// and it was never acknowledged.
package wal
