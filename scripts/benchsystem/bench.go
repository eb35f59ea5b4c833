package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// bench is a run.
type bench struct {
	options
	report *report
	log    io.Writer
	// folder holds everything that the run leaves, until its end.
	folder string
	clock  clock
	server *server
	echo   *process
	// audited are acknowledged records that the server counted as created.
	audited int64
}

// run measures what the options ask for. The report is whole even where an error
// ended the run early.
func (b *bench) run(ctx context.Context) (err error) {
	if b.folder, err = os.MkdirTemp(b.options.folder, "benchsystem-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	if err := b.describe(); err != nil {
		return err
	}
	if b.binary == "" {
		b.progress("building plantgate")
		b.binary = filepath.Join(b.folder, "plantgate")
		if err := build(ctx, b.binary); err != nil {
			return err
		}
	}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.end(ctx)) }()
	if err := b.start(ctx); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{scenarioIdle, b.idleMemory},
		{"preload", b.storeFirst},
		{scenarioSingle, b.singles},
		{scenarioOpen, b.openLoop},
		{scenarioBatch, b.batches},
		{scenarioRestart, b.restart},
		{scenarioMQTT, b.mqtt},
	} {
		if part.name != "preload" && !b.runs(part.name) {
			continue
		}
		if err := part.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// start starts both servers.
func (b *bench) start(ctx context.Context) (err error) {
	home := filepath.Join(b.folder, "plantgate.home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	if b.server, err = startServer(ctx, b.binary, home, ""); err != nil {
		return err
	}
	b.report.add("start/empty", "ms to ready", milliseconds(b.server.ready))
	return nil
}

// startEcho starts the server to compare with. It answers what plantgate does.
func (b *bench) startEcho(ctx context.Context) (target, error) {
	if b.echo == nil {
		answer, err := b.server.answer(ctx, &b.clock)
		if err != nil {
			return target{}, err
		}
		if b.echo, err = startEcho(ctx, b.server.data("tls", "server.pem"), answer, filepath.Join(b.folder, "echo.log")); err != nil {
			return target{}, err
		}
	}
	return target{b.echo.address, b.server.tls}, nil
}

// end stops what runs.
func (b *bench) end(ctx context.Context) error {
	var errs []error
	if b.echo != nil {
		b.echo.kill()
	}
	if b.server != nil {
		errs = append(errs, b.stopServer(context.WithoutCancel(ctx)))
	}
	b.report.note("%d records were acknowledged, and counted as created by the server", b.audited)
	return errors.Join(errs...)
}

// stopServer compares acknowledged and stored records, and stops plantgate.
func (b *bench) stopServer(ctx context.Context) error {
	s := b.server
	b.server = nil
	err := s.audit(ctx)
	b.report.fail(err)
	if err == nil {
		b.audited += s.acknowledged
	}
	return s.stop()
}

// post sends data to plantgate by one load, and keeps account of what was promised.
func (b *bench) post(ctx context.Context, k kind, run func(*load) (tally, error)) (tally, error) {
	l, err := openLoad(ctx, target{b.server.address, b.server.tls}, k, &b.clock)
	if err != nil {
		return tally{}, err
	}
	defer l.close()
	t, err := run(l)
	b.account(t)
	return t, err
}

func (b *bench) account(t tally) {
	b.server.acknowledged += t.created
	b.server.unanswered += t.unanswered * int64(b.batch)
}

// storeFirst fills the store, so that nothing is measured on an empty one.
func (b *bench) storeFirst(ctx context.Context) error {
	if b.preload == 0 {
		return nil
	}
	b.progress("storing %d records first", b.preload)
	requests := (b.preload + b.batch - 1) / b.batch
	t, err := b.post(ctx, kind{b.batchClients, b.batch, b.machines}, func(l *load) (tally, error) { return l.total(ctx, requests) })
	if err != nil {
		return err
	}
	b.report.fail(t.unexpected(http.StatusServiceUnavailable))
	_, err = b.server.drain(ctx)
	b.report.note("%d records were stored first, in %s", t.created, t.elapsed.Round(100*time.Millisecond))
	return err
}

// describe notes what the figures depend on.
func (b *bench) describe() error {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	filesystem := filesystemOf(b.folder)
	b.report.note("%s, %d processors, load average %s, data on %s in %s", runtime.Version(), runtime.NumCPU(),
		strings.Join(strings.Fields(string(load))[:3], " "), filesystem, filepath.Dir(b.folder))
	if filesystem == "tmpfs" {
		b.report.note("a sync costs nothing in memory: name a folder on a disk with -folder")
	}
	return nil
}

// progress says what goes on, apart from the results.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(b.log, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func megabytes(n int64) float64 { return float64(n) / (1 << 20) }
