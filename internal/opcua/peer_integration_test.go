//go:build integration

package opcua

import (
	"bufio"
	"context"
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
	ended   chan struct{}
}

// newNodePeer is node-opcua (npm); `npm ci` in testdata/peers installs it.
func newNodePeer(t *testing.T, more ...string) *peer {
	t.Helper()
	dir := peersFolder(t)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "node-opcua")); err != nil {
		t.Fatalf("node-opcua is not installed: run npm ci in %s", dir)
	}
	command := append([]string{"node", filepath.Join(dir, "node-server.js"), "PORT", "FOLDER"}, more...)
	return newPeer(t, "node-opcua", command...)
}

// newPythonPeer is asyncua (PyPI), of the interpreter PLANTGATE_TEST_PYTHON or
// of .venv at the root of the repository.
func newPythonPeer(t *testing.T) *peer {
	t.Helper()
	dir := peersFolder(t)
	python := os.Getenv("PLANTGATE_TEST_PYTHON")
	if python == "" {
		python = filepath.Join(dir, "..", "..", "..", "..", ".venv", "bin", "python")
	}
	if err := exec.Command(python, "-c", "import asyncua").Run(); err != nil {
		t.Fatalf("asyncua is not installed for %s: make a venv, install testdata/peers/requirements.txt with pip, and name its python in PLANTGATE_TEST_PYTHON", python)
	}
	return newPeer(t, "asyncua", python, filepath.Join(dir, "asyncua_server.py"), "PORT")
}

func peersFolder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("testdata", "peers"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func newPeer(t *testing.T, name string, command ...string) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{name: name, command: command, port: l.Addr().(*net.TCPAddr).Port, folder: t.TempDir()}
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
	out, err := p.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "READY" {
				close(ready)
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
