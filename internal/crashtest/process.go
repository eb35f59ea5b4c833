// Package crashtest runs the program as a process of its own, ends it at the
// worst moments, and looks whether it kept what it acknowledged. Only tests use
// it.
package crashtest

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// startTimeout is how long the program may take until it listens.
const startTimeout = 30 * time.Second

// Program says how to run plantgate.
type Program struct {
	// Path of the binary.
	Path string
	// Folder is where it runs; by default its data stand in it.
	Folder string
	// Args are the command and its flags, such as serve.
	Args []string
	// Env is added to the environment, which is otherwise free of PLANTGATE_*.
	Env []string
}

// Process is a running server.
type Process struct {
	// URL and CAFile are what it printed; they are set once Ready returned nil.
	URL, CAFile string

	cmd    *exec.Cmd
	stderr lockedBuffer
	ready  chan struct{} // closed when it printed where it listens
	exited chan struct{} // closed when it has ended
}

// Start starts the program and does not wait for it to listen. Whoever starts a
// process ends it by Stop or Kill.
func (p Program) Start() (*Process, error) {
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Dir = p.Folder
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PLANTGATE_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, p.Env...)
	process := &Process{cmd: cmd, ready: make(chan struct{}), exited: make(chan struct{})}
	cmd.Stderr = &process.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go process.watch(stdout)
	return process, nil
}

// watch reads what the process prints until it ends. Its second line is that of
// the CA, as tests always let it make its own.
func (p *Process) watch(stdout io.Reader) {
	defer close(p.exited)
	lines := bufio.NewScanner(stdout)
	for isReady := false; lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case isReady:
		case len(fields) == 4 && fields[0] == "plantgate" && fields[2] == "at":
			p.URL = fields[3]
		case len(fields) > 1 && fields[len(fields)-2] == "--cacert":
			p.CAFile = fields[len(fields)-1]
			if !filepath.IsAbs(p.CAFile) {
				p.CAFile = filepath.Join(p.cmd.Dir, p.CAFile)
			}
			isReady = true
			close(p.ready)
		}
	}
	_ = p.cmd.Wait() // how it ended stands in ProcessState
}

// Ready waits until the server has printed where it listens.
func (p *Process) Ready() error {
	select {
	case <-p.ready:
		return nil
	case <-p.exited:
		return fmt.Errorf("the server ended with %s:\n%s", p.cmd.ProcessState, p.Stderr())
	case <-time.After(startTimeout):
		return fmt.Errorf("the server does not listen after %s:\n%s", startTimeout, p.Stderr())
	}
}

// Stop sends a signal and returns the exit code.
func (p *Process) Stop(signal os.Signal) (int, error) {
	if err := p.cmd.Process.Signal(signal); err != nil {
		return 0, err
	}
	return p.Wait(time.Minute)
}

// Wait waits until the process has ended and returns the exit code.
func (p *Process) Wait(timeout time.Duration) (int, error) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(timeout):
		return 0, fmt.Errorf("the server did not end within %s:\n%s", timeout, p.Stderr())
	}
}

// Kill ends the process with SIGKILL, if it has not ended, and waits for it.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exited
	return nil
}

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stderr is the log so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Client returns a client that trusts the server's CA, and nothing else.
func (p *Process) Client() (*http.Client, error) {
	pem, err := os.ReadFile(p.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", p.CAFile)
	}
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			MaxIdleConnsPerHost: 16,
		},
	}, nil
}

// lockedBuffer may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
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
