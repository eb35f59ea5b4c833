package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Times of a process that is measured.
const (
	startTimeout = 5 * time.Minute // it may have much to do after a kill
	stopTimeout  = 2 * time.Minute
)

// process is a server that the program started.
type process struct {
	name    string
	cmd     *exec.Cmd
	began   time.Time
	address string // host and port of its HTTPS listener
	stdin   io.Closer
	logFile string
	exited  chan struct{}
	err     error
}

// startProcess starts a server and returns once it has printed its address, as
// "… at https://HOST:PORT". What it logs goes to logFile.
func startProcess(ctx context.Context, name string, cmd *exec.Cmd, logFile string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, began: time.Now(), stdin: stdin, logFile: logFile, exited: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	address := make(chan string, 1)
	go func() {
		defer close(p.exited)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if _, at, ok := strings.Cut(lines.Text(), " at https://"); ok {
				address <- at
			}
		}
		p.err = cmd.Wait()
	}()
	select {
	case p.address = <-address:
		return p, nil
	case <-p.exited:
		err = fmt.Errorf("%s ended: %w\n%s", name, errors.Join(p.err, errors.New("it printed no address")), p.logged())
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(startTimeout):
		err = fmt.Errorf("%s did not start within %s\n%s", name, startTimeout, p.logged())
	}
	p.kill()
	return nil, err
}

// logged is the end of what the process logged.
func (p *process) logged() string {
	text, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process as an operator would.
func (p *process) stop() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s had ended already: %w\n%s", p.name, errors.Join(p.err, errors.New("nobody told it to")), p.logged())
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("%s did not stop within %s", p.name, stopTimeout)
	}
	if p.err != nil {
		return fmt.Errorf("%s ended with: %w\n%s", p.name, p.err, p.logged())
	}
	return nil
}

// kill ends the process with SIGKILL. A second call does nothing.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
	_ = p.stdin.Close()
}
