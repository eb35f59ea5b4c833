package apptest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/config"
)

// Variables by which a test binary is told to be the server.
const (
	folderVariable  = "APPTEST_SERVE"
	profileVariable = "APPTEST_CPUPROFILE"
)

// connectionsFile is in the folder of a server with connections to OPC UA servers.
const connectionsFile = "opcua.json"

// Main runs the tests of a package, or, in a process that StartProcess made,
// the server. TestMain calls it.
func Main(run func() int) {
	folder, serves := os.LookupEnv(folderVariable)
	if !serves {
		os.Exit(run())
	}
	if err := serve(folder, os.Getenv(profileVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// addresses is what a server process says of itself.
type addresses struct{ URL, CAFile, BrokerURL, MetricsURL string }

// serve runs the server until standard input ends.
func serve(folder, profile string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c := Configure(folder)
	if text, err := os.ReadFile(filepath.Join(folder, connectionsFile)); err == nil {
		if err := json.Unmarshal(text, &c.OPCUA.Connections); err != nil {
			return err
		}
	}
	a, err := app.Open(ctx, c, "test", slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		return err
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if err := json.NewEncoder(os.Stdout).Encode(addresses{a.URL(), a.CAFile(), a.BrokerURL(), a.MetricsURL()}); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return a.Run(ctx)
}

// Process is a server in a process of its own.
type Process struct {
	*Client
	BrokerURL, MetricsURL, CAFile string

	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *strings.Builder
	exited chan struct{}
	failed error
}

// StartProcess starts the test binary as a server with its own data, and stops
// it at the end of the test. profile names a file for the CPU profile; "" is
// none. The package's TestMain has to call Main.
func StartProcess(t testing.TB, profile string, connections ...config.OPCUAConnection) *Process {
	t.Helper()
	folder := t.TempDir()
	text, err := json.Marshal(connections)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(folder, connectionsFile), text, 0o600))
	p := &Process{t: t, cmd: exec.CommandContext(context.Background(), os.Args[0]), stderr: &strings.Builder{}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), folderVariable+"="+folder, profileVariable+"="+profile)
	p.cmd.Stderr = p.stderr
	stdin, err := p.cmd.StdinPipe()
	must(t, err)
	stdout, err := p.cmd.StdoutPipe()
	must(t, err)
	must(t, p.cmd.Start())
	p.stdin = stdin
	t.Cleanup(p.Stop)
	var at addresses
	err = json.NewDecoder(stdout).Decode(&at)
	go func() {
		p.failed = p.cmd.Wait()
		close(p.exited)
	}()
	if err != nil {
		p.Stop()
		t.Fatalf("the server did not start: %v\n%s", err, p.stderr)
	}
	p.Client = NewClient(t, at.URL, at.CAFile, Key)
	p.BrokerURL, p.MetricsURL, p.CAFile = at.BrokerURL, at.MetricsURL, at.CAFile
	return p
}

// Stop stops the server and fails the test if that was not clean. A second call
// does nothing.
func (p *Process) Stop() {
	if p.stdin == nil {
		return
	}
	p.t.Helper()
	if p.Client != nil {
		p.HTTP.CloseIdleConnections()
	}
	_ = p.stdin.Close()
	p.stdin = nil
	select {
	case <-p.exited:
		if p.failed != nil {
			p.t.Errorf("the server ended with: %v\n%.4000s", p.failed, p.stderr)
		}
	case <-time.After(stopPatience):
		_ = p.cmd.Process.Kill()
		p.t.Errorf("the server did not stop within %s", stopPatience)
	}
}

// Memory returns the resident memory of the process now and at its peak, in
// bytes (proc(5): VmRSS, VmHWM).
func (p *Process) Memory() (now, peak int64) {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	must(p.t, err)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		kib, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = kib << 10
		case "VmHWM:":
			peak = kib << 10
		}
	}
	return now, peak
}

// CPU returns the processor time that the process has used (proc(5): utime and
// stime, in hundredths of a second on Linux).
func (p *Process) CPU() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	must(p.t, err)
	_, after, _ := strings.Cut(string(text), ") ") // the name may hold spaces
	fields := strings.Fields(after)
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		must(p.t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// Metric returns a figure without labels of the server's metrics.
func (p *Process) Metric(name string) float64 {
	p.t.Helper()
	a := p.Do("GET", "/metrics", "")
	a.Want(200)
	for line := range strings.Lines(string(a.Body)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			must(p.t, err)
			return value
		}
	}
	p.t.Fatalf("no metric %s", name)
	return 0
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
