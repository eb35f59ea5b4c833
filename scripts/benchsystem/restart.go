package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// idleMemory reads the memory of the server that has nothing to do.
func (b *bench) idleMemory(ctx context.Context) error {
	b.progress("the idle server")
	if err := pause(ctx, b.idle); err != nil {
		return err
	}
	now, _, err := memoryOf(b.server.pid())
	b.report.add("idle/empty", "RSS-MB", megabytes(now))
	return err
}

// restart kills the server while it takes batches, starts it over what it left,
// and asks it for what it had acknowledged last. Then it starts it once more,
// after a clean stop.
func (b *bench) restart(ctx context.Context) error {
	b.progress("killing plantgate under load, and starting it again")
	const name = "start/killed"
	if err := b.server.audit(ctx); err != nil { // its count ends with it
		b.report.fail(err)
	} else {
		b.audited += b.server.acknowledged
	}
	kept, backlog, err := b.killLoaded(ctx)
	if err != nil {
		return err
	}
	b.report.add(name, "backlog-records-before", backlog)
	if b.server, err = startServer(ctx, b.binary, b.server.folder, ""); err != nil {
		return err
	}
	b.report.add(name, "ms to ready", milliseconds(b.server.ready))
	if backlog, err = b.server.backlog(ctx); err != nil {
		return err
	}
	b.report.add(name, "backlog-records-when-ready", backlog)
	drained, err := b.server.drain(ctx)
	if err != nil {
		return err
	}
	b.report.add(name, "drain-s", drained.Seconds())
	if err := b.sendAgain(ctx, kept); err != nil {
		return err
	}
	folder := b.server.folder
	if err := b.stopServer(ctx); err != nil {
		return err
	}
	if b.server, err = startServer(ctx, b.binary, folder, ""); err != nil {
		return err
	}
	b.report.add("start/stopped", "ms to ready", milliseconds(b.server.ready))
	return nil
}

// killLoaded returns the last requests that got a 201 before the server was
// killed, one of each client, and the backlog a moment before.
func (b *bench) killLoaded(ctx context.Context) (kept [][]byte, backlog float64, err error) {
	l, err := openLoad(ctx, target{b.server.address, b.server.tls}, kind{b.batchClients, b.batch, b.machines}, &b.clock)
	if err != nil {
		return nil, 0, err
	}
	defer l.close()
	l.keepLast = true
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		_, _ = l.closed(ctx, time.Minute) // the kill ends it
	}()
	err = pause(ctx, min(b.sustain/2, 5*time.Second))
	for wait := time.Now().Add(answerTimeout); err == nil && l.stored.Load() == 0 && time.Now().Before(wait); {
		err = pause(ctx, 10*time.Millisecond)
	}
	if err == nil {
		backlog, err = b.server.backlog(ctx)
	}
	b.server.kill()
	<-loaded
	for _, c := range l.list {
		if len(c.last) > 0 {
			kept = append(kept, c.last)
		}
	}
	return kept, backlog, err
}

// sendAgain repeats requests that had a 201. The server must know every record.
func (b *bench) sendAgain(ctx context.Context, kept [][]byte) error {
	if len(kept) == 0 {
		return errors.New("no batch was stored before the kill")
	}
	connection, err := dial(ctx, b.server.address, b.server.tls)
	if err != nil {
		return err
	}
	defer connection.close()
	lost := 0
	for _, request := range kept {
		status, err := connection.do(request)
		if err != nil {
			return err
		}
		created := connection.created(status, b.batch)
		b.server.acknowledged += int64(created)
		if lost += created; status != http.StatusOK && created == 0 {
			b.report.fail(fmt.Errorf("a batch that was stored is answered with %d after the kill", status))
		}
	}
	if lost > 0 {
		b.report.fail(fmt.Errorf("lost: after the kill %d records of %d acknowledged batches were not there", lost, len(kept)))
	}
	b.report.note("after the kill the server knew the last %d batches that it had acknowledged", len(kept))
	return nil
}
