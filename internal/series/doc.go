// Package series sums up the values of signals over time, and answers for any
// span of time from those sums.
//
// A sample is one value of one signal of one record. Samples are rolled up into
// buckets of a minute, those into hours, those into days (UTC), and kept packed
// in blocks. A minute whose records changed since is due: its figures come from
// the records until the next roll-up, so that an answer is exact at any time.
//
// The package knows no storage: Source and RollupStore say what it needs.
package series
