//go:build integration

package opcua

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// peer is an OPC UA server of another maker in a process of its own.
type peer struct {
	name    string
	command []string // the port goes in for PORT, an own folder for FOLDER
	port    int
	folder  string
	process *exec.Cmd
	input   io.WriteCloser
	lines   chan string // what it prints after READY
	ended   chan struct{}
	// clock is the file that says by how much its clock is wrong; "" where it has the
	// machine's.
	clock string
}

// newNodePeer starts node-opcua.
func newNodePeer(t *testing.T, more ...string) *peer {
	t.Helper()
	return nodePeer(t, more...).launch(t)
}

// newPythonPeer starts asyncua.
func newPythonPeer(t *testing.T) *peer {
	t.Helper()
	return pythonPeer(t).launch(t)
}

// nodePeer is node-opcua (npm); `npm ci` in testdata/peers installs it.
func nodePeer(t *testing.T, more ...string) *peer {
	t.Helper()
	dir := peersFolder(t)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "node-opcua")); err != nil {
		t.Fatalf("node-opcua is not installed: run npm ci in %s", dir)
	}
	command := append([]string{"node", filepath.Join(dir, "node-server.js"), "PORT", "FOLDER"}, more...)
	return &peer{name: "node-opcua", command: command}
}

// pythonPeer is asyncua (PyPI), of the interpreter PLANTGATE_TEST_PYTHON or
// of .venv at the root of the repository.
func pythonPeer(t *testing.T) *peer {
	t.Helper()
	return &peer{name: "asyncua", command: []string{pythonOfPeers(t), filepath.Join(peersFolder(t), "asyncua_server.py"), "PORT"}}
}

// pythonOfPeers is the interpreter that has asyncua.
func pythonOfPeers(t *testing.T) string {
	t.Helper()
	dir := peersFolder(t)
	python := os.Getenv("PLANTGATE_TEST_PYTHON")
	if python == "" {
		python = filepath.Join(dir, "..", "..", "..", "..", ".venv", "bin", "python")
	}
	if err := exec.Command(python, "-c", "import asyncua").Run(); err != nil {
		t.Fatalf("asyncua is not installed for %s: make a venv, install testdata/peers/requirements.txt with pip, and name its python in PLANTGATE_TEST_PYTHON", python)
	}
	return python
}

func peersFolder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("testdata", "peers"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// launch starts it on a free port, until the end of the test.
func (p *peer) launch(t *testing.T) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.port, p.folder = l.Addr().(*net.TCPAddr).Port, t.TempDir()
	_ = l.Close()
	t.Cleanup(p.kill)
	p.start(t)
	return p
}

func (p *peer) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// start returns once the server says that it is ready.
func (p *peer) start(t *testing.T) {
	t.Helper()
	args := make([]string, len(p.command))
	for i, a := range p.command {
		switch a {
		case "PORT":
			a = strconv.Itoa(p.port)
		case "FOLDER":
			a = p.folder
		}
		args[i] = a
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p.process = exec.Command(args[0], args[1:]...)
	p.process.Stderr = os.Stderr
	if p.clock != "" {
		p.process.Env = append(os.Environ(), "LD_PRELOAD="+fakeTime(t), "FAKETIME_TIMESTAMP_FILE="+p.clock, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1")
	}
	out, err := p.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.input, err = p.process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	ready, told := make(chan struct{}), make(chan string, 10)
	p.lines = told
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "READY" {
				close(ready)
				continue
			}
			select {
			case told <- lines.Text():
			default: // nobody asked
			}
		}
		_ = p.process.Wait()
	}()
	select {
	case <-ready:
	case <-p.ended:
		t.Fatalf("%s ended before it was ready", p.name)
	case <-ctx.Done():
		t.Fatalf("%s is not ready after a minute", p.name)
	}
}

// order has the server do something.
func (p *peer) order(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(p.input, line+"\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(limit); ; {
		select {
		case told := <-p.lines:
			if told == "done "+line {
				return
			}
		case <-deadline:
			t.Fatalf("%s has not done %q", p.name, line)
		}
	}
}

// jump makes the server's clock wrong by d.
func (p *peer) jump(t *testing.T, d time.Duration) {
	t.Helper()
	if err := os.WriteFile(p.clock, fmt.Appendf(nil, "%+d\n", int(d.Seconds())), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fakeTime is the library that lies about the time.
func fakeTime(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if err != nil || len(found) == 0 {
		t.Fatal("libfaketime is not installed: apt-get install faketime")
	}
	return found[0]
}

func (p *peer) kill() {
	if p.process != nil && p.process.Process != nil {
		_ = p.process.Process.Kill()
		<-p.ended
	}
}

func (p *peer) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.process.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
