package crashtest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/apply"
	"plantgate/internal/mes"
	"plantgate/internal/series"
	"plantgate/internal/store"
)

// left is what a power cut left, opened again.
type left struct {
	*app.Storage
	cut
}

// verify opens what is left and says which promise does not hold. The senders send
// everything again, as after a power cut they do, before or after the log is
// applied: each must get the answer of the first time, and nothing may be stored.
func verify(t *testing.T, c cut, againFirst bool) (replayed bool, err error) {
	t.Helper()
	path := filepath.Join(c.folder, databaseName)
	s, err := app.OpenStorage(t.Context(), "sqlite:"+path, app.StorageOptions{
		Store: store.Options{Readers: 1}, SegmentSize: 8 << 10, Apply: apply.Options{MaxDelay: time.Millisecond},
	})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l := &left{Storage: s, cut: c}
	applied, err := s.Applied(t.Context())
	if err != nil {
		return false, err
	}
	replayed = applied.Position < s.Journal.End()
	if againFirst {
		if err := l.sendAgain(t); err != nil {
			return replayed, err
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Runner.Run(ctx) }()
	err = l.verifyApplied(t, againFirst)
	stop()
	return replayed, errors.Join(err, <-ended)
}

func (l *left) verifyApplied(t *testing.T, sentAgain bool) error {
	ctx := t.Context()
	before, err := l.Records(ctx, mes.RecordFilter{Limit: 1_000_000})
	if err != nil {
		return err
	}
	if err := l.verifyReceipts(ctx, before); err != nil {
		return err
	}
	if err := whole(before); err != nil {
		return err
	}
	for _, check := range []func(context.Context, []mes.Record) error{l.verifyLatest, l.verifyEquipment, l.verifyDue} {
		if err := check(ctx, before); err != nil {
			return err
		}
	}
	if !sentAgain {
		if err := l.sendAgain(t); err != nil {
			return err
		}
		if err := l.Runner.Wait(ctx); err != nil {
			return err
		}
	}
	return l.verifyFile(ctx, len(before))
}

// verifyReceipts looks for what the receipts say is stored.
func (l *left) verifyReceipts(ctx context.Context, records []mes.Record) error {
	items, err := l.QuarantineItems(ctx, mes.QuarantineFilter{Limit: 1_000_000})
	if err != nil {
		return err
	}
	times := make(map[mes.ID]int)
	for _, i := range items {
		times[i.ID]++
	}
	for _, r := range records {
		times[r.ID]++
	}
	for _, g := range l.receipts {
		for _, r := range g.receipts {
			if times[r.ID] != 1 {
				return fmt.Errorf("what batch %d was told is %s is there %d times", g.number, r.Status, times[r.ID])
			}
		}
	}
	return nil
}

// whole makes sure that batches are there as a whole or not at all: each was one
// commit, acknowledged or not.
func whole(records []mes.Record) error {
	batches := make(map[int]int)
	for _, r := range records {
		n, _ := r.Signals[0].Value.Float64()
		batches[int(n)/10]++
	}
	for n, size := range batches {
		if size != sizeOf(n) {
			return fmt.Errorf("of batch %d there are %d records of %d", n, size, sizeOf(n))
		}
	}
	return nil
}

// byMachine gives each machine's records, in order.
func byMachine(records []mes.Record) map[string][]mes.Record {
	machines := make(map[string][]mes.Record)
	for _, r := range records {
		machines[r.MachineID] = append(machines[r.MachineID], r)
	}
	return machines
}

// verifyLatest compares the newest values with the newest records.
func (l *left) verifyLatest(ctx context.Context, records []mes.Record) error {
	machines := byMachine(records)
	latest, err := l.Latest(ctx, mes.LatestFilter{})
	if err != nil {
		return err
	}
	if len(latest) != len(machines) {
		return fmt.Errorf("%d newest values of %d machines", len(latest), len(machines))
	}
	for _, v := range latest {
		of := machines[v.MachineID]
		newest := of[len(of)-1]
		if v.RecordID != newest.ID || v.Signal != newest.Signals[0] || !v.Time.Equal(newest.Time) {
			return fmt.Errorf("the newest value of %s is %+v, its newest record %+v", v.MachineID, v, newest)
		}
	}
	return nil
}

// verifyEquipment compares what is known of each machine with its records.
func (l *left) verifyEquipment(ctx context.Context, records []mes.Record) error {
	machines := byMachine(records)
	list, err := l.EquipmentList(ctx, mes.EquipmentFilter{})
	if err != nil {
		return err
	}
	if len(list) != len(machines) {
		return fmt.Errorf("%d machines are registered of %d", len(list), len(machines))
	}
	for _, e := range list {
		of := machines[e.ID]
		first, last := of[0].ReceivedAt, of[0].ReceivedAt
		for _, r := range of {
			if r.ReceivedAt.Before(first) {
				first = r.ReceivedAt
			}
			if r.ReceivedAt.After(last) {
				last = r.ReceivedAt
			}
		}
		if !e.LastTime.Equal(of[len(of)-1].Time) || !e.CreatedAt.Equal(first) || !e.LastReceivedAt.Equal(last) {
			return fmt.Errorf("%s was heard of first at %s and last at %s, of the time %s: its records say %s, %s, %s",
				e.ID, e.CreatedAt, e.LastReceivedAt, e.LastTime, first, last, of[len(of)-1].Time)
		}
	}
	return nil
}

// verifyDue compares the minutes that are to be rolled up with the records: nothing
// was rolled up here.
func (l *left) verifyDue(ctx context.Context, records []mes.Record) error {
	type minute struct {
		machine string
		start   time.Time
	}
	want := make(map[minute]bool)
	for _, r := range records {
		want[minute{r.MachineID, series.Minute.Start(r.Time)}] = true
	}
	marks, err := l.DueMarks(ctx, series.Mark{}, time.Now().Add(time.Hour), 1_000_000)
	if err != nil {
		return err
	}
	for _, m := range marks {
		if !want[minute{m.Unit.MachineID, m.Minute}] {
			return fmt.Errorf("%s of %s is to be rolled up, and there is no record", m.Minute, m.Unit.MachineID)
		}
	}
	if len(marks) != len(want) {
		return fmt.Errorf("%d minutes are to be rolled up, and there are records of %d", len(marks), len(want))
	}
	return nil
}

// verifyFile looks at the database as a report does.
func (l *left) verifyFile(ctx context.Context, records int) error {
	f, err := readFile(ctx, l.Path())
	if err != nil {
		return err
	}
	if f.integrity != "ok" || f.records != records || f.rows != records || f.lastNumber != records {
		return fmt.Errorf("%d records were there before everything was sent again; the file: %+v", records, f)
	}
	return nil
}

// sendAgain sends what was acknowledged, but for what is in quarantine.
func (l *left) sendAgain(t *testing.T) error {
	t.Helper()
	var records []mes.Record
	var first []mes.Receipt
	for _, g := range l.receipts {
		if kindOf(g.number) != kindFaulty {
			records = append(records, batchOf(g.number)...)
			first = append(first, g.receipts...)
		}
	}
	service := newService(t, l.Storage)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- service.Run(ctx) }()
	again, err := service.Ingest(ctx, records)
	stop()
	err = errors.Join(err, <-stopped)
	for i, r := range again {
		if r.ID != first[i].ID || r.Status != mes.ReceiptDuplicate && !r.Repeated {
			err = errors.Join(err, fmt.Errorf("a record was answered with %s %s, and again with %s %s",
				first[i].Status, first[i].ID, r.Status, r.ID))
		}
	}
	return err
}
