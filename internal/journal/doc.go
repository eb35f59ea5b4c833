// Package journal takes machine data in order of arrival: what a commit of ingest
// says is one frame of the local log, durable once the frame is synced. It tells
// new records from those that were there before, over what the store holds and
// what the log holds that is not applied to the store yet. What follows from
// records is brought up to date behind it (package apply).
package journal
