package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plantgate/internal/opcua/sim"
)

// command runs the program in this process.
func command(ctx context.Context, t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(&env{ctx: ctx, stdin: strings.NewReader(""), stdout: &out, stderr: &errs}, args)
	return code, out.String(), errs.String()
}

func TestOPCUACommands(t *testing.T) {
	t.Parallel()
	plant, err := sim.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plant.Close() })
	url := plant.URL()
	file := filepath.Join(t.TempDir(), "pasted.yaml")
	want := func(args []string, code int, out, errs string) string {
		t.Helper()
		got, stdout, stderr := command(t.Context(), t, args...)
		if got != code || !strings.Contains(stdout, out) || !strings.Contains(stderr, errs) {
			t.Errorf("%q: exit %d\n%s%s\nwant %d, %q, %q", args, got, stdout, stderr, code, out, errs)
		}
		return stdout
	}
	const stored, folder = sim.StoredVariable, sim.Folder
	opcua := func(args ...string) []string { return append([]string{"opcua"}, args...) }

	pasted := want(opcua("browse", url, "--output", "config"), exitOK, "machine_id: PRESS-01", "")
	if err := os.WriteFile(file, []byte(strings.Replace(pasted, "name: server", "name: press", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	want([]string{"config", "check", "--config", file}, exitOK, "1 OPC UA connection,", "")
	want(opcua("browse", "--connection", "press", "--config", file, "--node", folder), exitOK, "MyStoredVariable", "")
	want(opcua("browse", url, "--limit", "3"), exitFailed, "Server", "more nodes than the limit (3)")
	var nodes []opcuaNode
	if err := json.Unmarshal([]byte(want(opcua("browse", url, "-o", "json", "--node", folder, "--depth", "1"), exitOK, "", "")), &nodes); err != nil || len(nodes) != 4 {
		t.Errorf("%d nodes, %v", len(nodes), err)
	}

	want(opcua("write", "--", url, stored, "-5"), exitOK, "done", "")
	want(opcua("read", "--connection", "press", "--config", file, stored), exitOK, "-5", "")
	want(opcua("write", url, stored, "5.5"), exitUsage, "", "expected Int32, a whole number from -2147483648 to 2147483647, not 5.5")
	want(opcua("write", url, stored), exitUsage, "", "each with its value")
	want(opcua("write", url, "ns=1;s=Plant/PRESS-01/Force", "1"), exitFailed, "BadNotWritable", "1 of 1 were not written")
	want(opcua("call", url, folder, sim.SetStored, "7"), exitOK, "Previous    Int32  -5", "")
	want(opcua("call", url, folder, sim.SetStored), exitUsage, "", "Value (Int32)")
	want(opcua("watch", url, stored, "--count", "1"), exitOK, "Good  7", "")

	want(opcua("read", url, "ns=1;s=Nothing"), exitFailed, "BadNodeIdUnknown", "bad status")
	want(opcua("read", url), exitUsage, "", "name a node")
	want(opcua("read", url, "x"), exitUsage, "", `the node id "x" must look like`)
	want(opcua("read", url, stored, "--attribute", "Colour"), exitUsage, "", "is no attribute")
	want(opcua("read", stored), exitUsage, "", "name the server first")
	want(opcua("read", "--connection", "oven", "--config", file, stored), exitUsage, "", "only press")
	want(opcua("read", "--connection", "press", "--config", file, url, stored), exitUsage, "", "not both")
	want(opcua("read", "--security-mode", "Sign", url, stored), exitUsage, "", "--security-mode")
	want(opcua("read", "--security-policy", "best", url, stored), exitFailed, "", "SignAndEncrypt")
	want(opcua("read", "--user-cert-file", "x.pem", url, stored), exitUsage, "", "--user-cert-file user_cert_file and user_key_file belong together")
	want(opcua("read", "opc.tcp://127.0.0.1:1", stored), exitFailed, "", "is the server running")

	ended, stop := context.WithCancel(t.Context())
	stop()
	if code, _, stderr := command(ended, t, opcua("browse", url)...); code != exitFailed || !strings.Contains(stderr, "interrupted") {
		t.Errorf("interrupted: exit %d, %s", code, stderr)
	}
}
