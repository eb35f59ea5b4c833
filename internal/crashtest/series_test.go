//go:build integration

package crashtest

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// bucket sums up the samples of a minute.
type bucket struct {
	Start                      time.Time
	Count                      int
	Min, Max, Sum, First, Last float64
}

// verifySeries compares the minutes of each machine with its records.
func (d *driver) verifySeries(records []storedRecord) error {
	byMachine := map[string][]storedRecord{}
	for _, r := range records {
		byMachine[r.MachineID] = append(byMachine[r.MachineID], r)
	}
	var errs []error
	for machine, own := range byMachine {
		slices.SortFunc(own, func(a, b storedRecord) int {
			return cmp.Or(a.Timestamp.Compare(b.Timestamp), cmp.Compare(a.ID, b.ID))
		})
		want := minutes(own)
		var answer struct{ Series []struct{ Buckets []bucket } }
		err := d.get("/api/v1/equipment/"+machine+"/series", url.Values{
			"signal": {"n"}, "width": {"1m"},
			"from": {want[0].Start.Format(time.RFC3339)}, "to": {want[len(want)-1].Start.Add(time.Minute).Format(time.RFC3339)},
		}, &answer)
		switch {
		case err != nil:
			errs = append(errs, err)
		case len(answer.Series) != 1 || !slices.Equal(answer.Series[0].Buckets, want):
			errs = append(errs, fmt.Errorf("the minutes of %s are %+v, its records say %+v", machine, answer.Series, want))
		}
	}
	return errors.Join(errs...)
}

// minutes sums up records that are in order.
func minutes(records []storedRecord) (list []bucket) {
	for _, r := range records {
		n, start := float64(r.number()), r.Timestamp.UTC().Truncate(time.Minute)
		if len(list) == 0 || !list[len(list)-1].Start.Equal(start) {
			list = append(list, bucket{Start: start, Min: n, Max: n, First: n})
		}
		b := &list[len(list)-1]
		b.Count++
		b.Sum += n
		b.Min, b.Max, b.Last = min(b.Min, n), max(b.Max, n), n
	}
	return list
}
