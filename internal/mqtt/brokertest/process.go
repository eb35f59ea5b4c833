package brokertest

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Times of a broker process.
const (
	startTimeout = 90 * time.Second // Erlang takes its time on a small machine
	stopTimeout  = 60 * time.Second
)

// Broker is a running broker with one user.
type Broker struct {
	// Name tells the broker in test names: mosquitto or rabbitmq.
	Name               string
	Username, Password string

	addr    string
	tlsAddr string
	command func() *exec.Cmd
	// control are the environment and the program of its administration.
	control    []string
	controller string

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	output *lockedBuffer
}

// Addr returns host and port of the MQTT listener. It stays the same over
// restarts.
func (b *Broker) Addr() string { return b.addr }

// TLSAddr returns host and port of the listener with TLS, where the settings ask for one.
func (b *Broker) TLSAddr() string { return b.tlsAddr }

// URL returns the address of the MQTT listener as a URL.
func (b *Broker) URL() string { return "tcp://" + b.addr }

// Start starts the broker again after Stop or Kill and waits until it listens.
func (b *Broker) Start(t Host) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cmd = b.command()
	b.output = new(lockedBuffer)
	b.cmd.Stdout, b.cmd.Stderr = b.output, b.output
	// An own process group, so that what the broker starts ends with it.
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", b.Name, err)
	}
	b.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(b.cmd, b.exited)
	if err := b.awaitListener(); err != nil {
		b.end(syscall.SIGKILL)
		t.Fatalf("%s does not start: %v\n%s", b.Name, err, b.output)
	}
}

func (b *Broker) awaitListener() error {
	deadline := time.After(startTimeout)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if listens(b.addr) && (b.tlsAddr == "" || listens(b.tlsAddr)) {
			return nil
		}
		select {
		case <-b.exited:
			return fmt.Errorf("the process ended")
		case <-deadline:
			return fmt.Errorf("it does not listen on %s after %s", b.addr, startTimeout)
		case <-tick.C:
		}
	}
}

func listens(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// Stop ends the broker as an operator would; it keeps sessions and messages.
func (b *Broker) Stop(t Host) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.end(syscall.SIGTERM) {
		t.Fatalf("%s did not stop within %s", b.Name, stopTimeout)
	}
}

// Kill ends the broker with SIGKILL. What it had not yet written is gone.
func (b *Broker) Kill(t Host) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end(syscall.SIGKILL)
}

// Output returns what the broker has printed since it was started.
func (b *Broker) Output() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.output.String()
}

// Restart stops the broker and starts it again.
func (b *Broker) Restart(t Host) {
	t.Helper()
	b.Stop(t)
	b.Start(t)
}

// end signals the process group and waits; it tells whether the broker ended.
func (b *Broker) end(signal syscall.Signal) bool {
	if b.cmd == nil {
		return true
	}
	pid := b.cmd.Process.Pid
	_ = syscall.Kill(-pid, signal)
	ended := true
	select {
	case <-b.exited:
	case <-time.After(stopTimeout):
		ended = false
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL) // also what outlived its parent
	<-b.exited
	b.cmd = nil
	return ended
}

// launch starts the broker for the first time and ends it with the test.
func (b *Broker) launch(t Host) *Broker {
	t.Helper()
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.end(syscall.SIGKILL)
	})
	b.Start(t)
	return b
}

// binary returns the path of a program, or fails naming its package.
func binary(t Host, pkg string, paths ...string) string {
	t.Helper()
	found := find(paths...)
	if found == "" {
		t.Fatalf("%s is not installed: this needs the package %s (apt-get install %s)", paths[0], pkg, pkg)
	}
	return found
}

// find returns the first of the programs that is there, or "".
func find(paths ...string) string {
	for _, p := range paths {
		if found, err := exec.LookPath(p); err == nil {
			return found
		}
	}
	return ""
}

// freePort returns a port that was free a moment ago.
func freePort(t Host) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// lockedBuffer is written by the process while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
