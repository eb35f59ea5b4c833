package ingest

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"plantgate/internal/mes"
)

// TestQueueDealsOut puts jobs into the queue and takes them in any order: no two writers
// ever have the same part, jobs with a part in common are taken in their order, and none
// is left when all are done.
func TestQueueDealsOut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		writers := rapid.IntRange(1, 5).Draw(rt, "writers")
		q := newQueue(1000, 1<<30, writers)
		type work struct{ taken parts }
		at := map[int]work{}
		var waiting []*job // by their order
		put := func() {
			j := &job{parts: parts(rapid.Uint64Range(1, 1<<writers-1).Draw(rt, "parts"))}
			j.records = make([]mes.Record, rapid.IntRange(1, 3).Draw(rt, "records"))
			if room, err := q.tryPush(j); room != nil || err != nil {
				rt.Fatal(room, err)
			}
			waiting = append(waiting, j)
		}
		take := func(writer int) bool {
			jobs, taken := q.take(writer, 4)
			var busy, seen parts
			for _, w := range at {
				busy |= w.taken
			}
			if taken&busy != 0 {
				rt.Fatalf("writer %d takes %b while %b are busy", writer, taken, busy)
			}
			for _, j := range jobs {
				i := slices.Index(waiting, j)
				if i < 0 {
					rt.Fatal("a job was taken that does not wait")
				}
				for _, before := range waiting[:i] {
					if before.parts&j.parts != 0 {
						rt.Fatalf("a job of %b was taken before one of %b that came earlier", j.parts, before.parts)
					}
				}
				waiting = slices.Delete(waiting, i, i+1)
				seen |= j.parts
			}
			if seen != taken {
				rt.Fatalf("jobs of %b, and %b are taken", seen, taken)
			}
			if len(jobs) > 0 {
				at[writer] = work{taken}
			}
			return len(jobs) > 0
		}
		done := func(writer int) { q.done(at[writer].taken); delete(at, writer) }
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch writer := rapid.IntRange(0, writers-1).Draw(rt, "writer"); {
			case rapid.Bool().Draw(rt, "put"):
				put()
			case at[writer].taken != 0:
				done(writer)
			default:
				take(writer)
			}
		}
		// The writers go on as they do: woken, they take until there is nothing for them.
		for len(waiting) > 0 {
			moved := false
			for writer := range writers {
				if at[writer].taken != 0 {
					done(writer)
					moved = true
				}
				select {
				case <-q.wake[writer]:
					moved = take(writer) || moved
				default:
				}
			}
			if !moved {
				rt.Fatalf("%d jobs wait, and nobody is woken for them", len(waiting))
			}
		}
		for writer := range at {
			done(writer)
		}
		if !q.isEmpty() || q.depth() != 0 || q.bytes != 0 || q.busy != 0 {
			rt.Fatalf("%d jobs, %d records, %d bytes and the parts %b are left", len(q.jobs), q.depth(), q.bytes, q.busy)
		}
	})
}
