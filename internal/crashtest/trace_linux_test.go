//go:build integration

package crashtest

import (
	"os"
	"strings"
	"testing"
	"time"
)

// systemCall is a call as strace saw it.
type systemCall struct {
	name string
	// file is the descriptor and what it is, such as 9<socket:[12]>.
	file string
	// text are all arguments, result is what came back.
	text, result string
	// begun and ended are the places in the trace.
	begun, ended int
}

func (c systemCall) isSocket() bool { return strings.Contains(c.file, "<socket:") }

// descriptor is the number alone: a file may get another name.
func (c systemCall) descriptor() string {
	number, _, _ := strings.Cut(c.file, "<")
	return number
}

// readTrace reads what strace wrote, once it has seen the end of the process.
func readTrace(t *testing.T, path string) []systemCall {
	t.Helper()
	var content []byte
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(retryPause) {
		var err error
		if content, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(string(content), "+++ exited with 0 +++\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("strace does not end")
		}
	}
	return parseTrace(string(content))
}

const unfinished = " <unfinished ...>"

// parseTrace puts together what begins in one line and ends in another. Lines are
//
//	THREAD TIME CALL(ARGUMENTS) = RESULT
//	THREAD TIME CALL(ARGUMENTS <unfinished ...>
//	THREAD TIME <... CALL resumed>ARGUMENTS) = RESULT
func parseTrace(trace string) []systemCall {
	var calls []systemCall
	open := make(map[string]systemCall) // by thread
	for at, line := range strings.Split(trace, "\n") {
		thread, rest, _ := strings.Cut(line, " ")
		_, rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
		var c systemCall
		if _, arguments, ok := strings.Cut(rest, " resumed>"); ok && strings.HasPrefix(rest, "<... ") {
			c = open[thread]
			c.text += arguments
			delete(open, thread)
		} else if name, arguments, ok := strings.Cut(rest, "("); ok {
			c = systemCall{name: name, text: arguments, begun: at}
		} else {
			continue
		}
		if begun, ok := strings.CutSuffix(c.text, unfinished); ok {
			c.text = begun
			open[thread] = c
			continue
		}
		c.ended = at
		if i := strings.LastIndex(c.text, ") = "); i >= 0 {
			c.text, c.result = c.text[:i], strings.TrimSpace(c.text[i+len(") = "):])
		}
		c.file = c.text
		if i := strings.Index(c.text, ">"); i >= 0 {
			c.file = c.text[:i+1]
		}
		calls = append(calls, c)
	}
	return calls
}
