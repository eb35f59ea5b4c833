package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"plantgate/internal/crashtest"
)

// TestMain makes the test binary serve as the program itself, so that scripts
// and tests run it as processes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"plantgate": main})
}

// TestScripts runs the command line as operators do. Besides testscript's own
// commands there are:
//
//	exits CODE ARG...              run plantgate; compare the exit code
//	serve NAME                     start plantgate serve
//	ends NAME                      end it by SIGTERM; the exit code must be 0
//	status CODE NAME KEY PATH      GET PATH with the key; compare the status
//	post CODE NAME KEY FILE        POST the file to /data; compare the status
//	within SECONDS CODE NAME KEY PATH   the same as status, as soon as it comes true
//	take VAR                       keep the last stdout, without white space, in VAR
//	keyid NAME VAR                 keep the id of a key of the last stdout in VAR
//	oneline REGEXP                 the last stderr is one message that matches
//	mode MODE FILE                 compare the permissions of a file
//	sqlite FILE SCRIPT             run the statements of a script in an SQLite database
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Values[serversKey{}] = servers{}
			e.Setenv("PLANTGATE_SERVER_LISTEN", "127.0.0.1:0")
			e.Setenv("PLANTGATE_METRICS_LISTEN", "")
			e.Setenv("PLANTGATE_API_KEY", bootstrapKey)
			e.Setenv("BOOTSTRAP", bootstrapKey)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits, "serve": scriptServe, "ends": scriptEnds, "status": scriptStatus,
			"post": scriptPost, "within": scriptWithin, "take": scriptTake, "keyid": scriptKeyID,
			"oneline": scriptOneLine, "mode": scriptMode, "sqlite": scriptSQLite,
		},
	})
}

// bootstrapKey has every scope.
const bootstrapKey = "bootstrap-key-of-the-tests"

type serversKey struct{}

// servers are the running servers of a script, by name.
type servers map[string]*crashtest.Process

func scriptExits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("plantgate", args[1:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, not %d", got, want)
	}
}

func scriptServe(ts *testscript.TestScript, _ bool, args []string) {
	program, err := exec.LookPath("plantgate")
	ts.Check(err)
	var env []string
	for _, name := range []string{"PLANTGATE_SERVER_LISTEN", "PLANTGATE_METRICS_LISTEN", "PLANTGATE_API_KEY", "PLANTGATE_STORE_DSN", "PLANTGATE_CONFIG"} {
		if value := ts.Getenv(name); value != "" || name == "PLANTGATE_METRICS_LISTEN" {
			env = append(env, name+"="+value)
		}
	}
	p, err := crashtest.Program{Path: program, Folder: ts.MkAbs("."), Args: []string{"serve"}, Env: env}.Start()
	ts.Check(err)
	ts.Defer(func() { _ = p.Kill() })
	ts.Check(p.Ready())
	ts.Value(serversKey{}).(servers)[args[0]] = p
	ts.Setenv("ADDRESS", strings.TrimPrefix(p.URL, "https://"))
}

func server(ts *testscript.TestScript, name string) *crashtest.Process {
	p, ok := ts.Value(serversKey{}).(servers)[name]
	if !ok {
		ts.Fatalf("no server %s", name)
	}
	return p
}

func scriptEnds(ts *testscript.TestScript, _ bool, args []string) {
	p := server(ts, args[0])
	code, err := p.Stop(syscall.SIGTERM)
	ts.Check(err)
	if code != 0 {
		ts.Fatalf("exit code %d:\n%s", code, p.Stderr())
	}
}

func scriptStatus(ts *testscript.TestScript, _ bool, args []string) {
	got, body, err := request(server(ts, args[1]), http.MethodGet, args[3], args[2], "")
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), body)
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("status %d, not %s: %s", got, args[0], body)
	}
}

func scriptPost(ts *testscript.TestScript, _ bool, args []string) {
	got, body, err := request(server(ts, args[1]), http.MethodPost, "/data", args[2], ts.ReadFile(args[3]))
	ts.Check(err)
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("status %d, not %s: %s", got, args[0], body)
	}
}

func scriptWithin(ts *testscript.TestScript, _ bool, args []string) {
	seconds, err := strconv.ParseFloat(args[0], 64)
	ts.Check(err)
	start := time.Now()
	for {
		got, body, err := request(server(ts, args[2]), http.MethodGet, args[4], args[3], "")
		ts.Check(err)
		switch {
		case strconv.Itoa(got) == args[1]:
			ts.Logf("status %d after %s", got, time.Since(start).Round(time.Millisecond))
			return
		case time.Since(start).Seconds() > seconds:
			ts.Fatalf("still status %d after %s: %s", got, time.Since(start), body)
		}
		time.Sleep(50 * time.Millisecond) // another process changes its mind; nothing tells when
	}
}

func scriptTake(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

func scriptKeyID(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == args[0] {
			ts.Setenv(args[1], fields[0])
			return
		}
	}
	ts.Fatalf("no key %s", args[0])
}

// scriptOneLine takes log lines apart from the message: they begin with a time.
func scriptOneLine(ts *testscript.TestScript, _ bool, args []string) {
	var messages []string
	for line := range strings.Lines(ts.ReadFile("stderr")) {
		if !strings.HasPrefix(line, "time=") {
			messages = append(messages, strings.TrimSpace(line))
		}
	}
	if len(messages) != 1 || !regexp.MustCompile("^plantgate: .*"+args[0]).MatchString(messages[0]) {
		ts.Fatalf("messages %q", messages)
	}
}

func scriptMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, not %s", args[1], got, args[0])
	}
}

func scriptSQLite(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(inSQLite(ts.MkAbs(args[0]), ts.ReadFile(args[1])))
}

// inSQLite runs statements in a database, as any SQLite program does.
func inSQLite(path, statements string) error {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	_, err = db.Exec(statements)
	return errors.Join(err, db.Close())
}

// request does one request with an API key and returns status and body.
func request(p *crashtest.Process, method, path, key, body string) (int, string, error) {
	client, err := p.Client()
	if err != nil {
		return 0, "", err
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequest(method, p.URL+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("x-api-key", key)
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(content), err
}
