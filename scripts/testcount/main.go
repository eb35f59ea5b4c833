// Command testcount runs go test and counts: it prints a line for each package,
// the output of what failed, and at the end "N passed, N failed".
//
//	go run ./scripts/testcount [-sum FILE] ARGUMENTS OF GO TEST
//
// With -sum the two numbers are also appended to the file, for a total over
// several runs. It exits with the status of go test. A skipped test is printed
// with its reason, since a test that did not run proves nothing.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// event is a line of go test -json (see go doc test2json).
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// counter reads events and prints what matters.
type counter struct {
	out            io.Writer
	passed, failed int
	// output holds what tests that still run have printed, by package and test.
	output map[[2]string]*strings.Builder
	// counts holds how many tests of a package passed.
	counts map[string]int
	// blamed holds the packages of which a test failed. A package that fails
	// without one could not be built, or died.
	blamed map[string]bool
}

func newCounter(out io.Writer) *counter {
	return &counter{out: out, output: map[[2]string]*strings.Builder{}, counts: map[string]int{}, blamed: map[string]bool{}}
}

func main() {
	args := os.Args[1:]
	sum := ""
	if len(args) > 1 && args[0] == "-sum" {
		sum, args = args[1], args[2:]
	}
	code, err := run(args, sum, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testcount:", err)
	}
	os.Exit(code)
}

func run(args []string, sum string, out io.Writer) (int, error) {
	cmd := exec.CommandContext(context.Background(), "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	c := newCounter(out)
	readErr := c.read(pipe)
	waitErr := cmd.Wait()
	fmt.Fprintf(out, "%d passed, %d failed\n", c.passed, c.failed)
	if sum != "" {
		readErr = errors.Join(readErr, appendLine(sum, fmt.Sprintf("%d %d", c.passed, c.failed)))
	}
	var exit *exec.ExitError
	switch {
	case errors.As(waitErr, &exit):
		return exit.ExitCode(), readErr
	case waitErr != nil || readErr != nil:
		return 1, errors.Join(waitErr, readErr)
	}
	return 0, nil
}

func (c *counter) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprint(c.out, string(line)) // of the compiler, or a crash
			} else {
				c.take(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *counter) take(e event) {
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(c.out, e.Output)
	case "output":
		if c.output[key] == nil {
			c.output[key] = &strings.Builder{}
		}
		c.output[key].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test != "" {
			c.takeTest(e, key)
		} else {
			c.takePackage(e, key)
		}
		delete(c.output, key)
	}
}

func (c *counter) takeTest(e event, key [2]string) {
	switch e.Action {
	case "pass":
		c.passed++
		c.counts[e.Package]++
	case "fail":
		c.failed++
		c.blamed[e.Package] = true
		c.print(key)
	case "skip":
		c.print(key)
	}
}

func (c *counter) takePackage(e event, key [2]string) {
	switch {
	case e.Action == "fail":
		// Tests that were under way when the process ended have no line of their
		// own; neither has what could not be built.
		for k := range c.output {
			if k[0] == e.Package && k != key {
				c.print(k)
			}
		}
		if !c.blamed[e.Package] {
			c.failed++
			c.print(key)
		}
		fmt.Fprintf(c.out, "FAIL %s %.1fs\n", e.Package, e.Elapsed)
	case c.counts[e.Package] > 0:
		fmt.Fprintf(c.out, "ok   %s %.1fs (%d passed)\n", e.Package, e.Elapsed, c.counts[e.Package])
	}
}

func (c *counter) print(key [2]string) {
	if b := c.output[key]; b != nil {
		fmt.Fprint(c.out, b.String())
		delete(c.output, key)
	}
}

func appendLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}
