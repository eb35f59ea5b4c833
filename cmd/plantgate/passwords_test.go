package main

import (
	"bytes"
	"strings"
	"testing"

	"plantgate/internal/passwords"
)

// TestPasswordsHash: what is printed is a hash of what was read, and nothing tells it.
func TestPasswordsHash(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"argon2id", "bcrypt"} {
		var stdout, stderr bytes.Buffer
		e := &env{ctx: t.Context(), stdin: strings.NewReader("of a machine\r\n"), stdout: &stdout, stderr: &stderr}
		if code := run(e, []string{"passwords", "hash", "--algorithm", algorithm}); code != exitOK || stderr.Len() > 0 {
			t.Fatalf("%s: exit code %d: %s", algorithm, code, &stderr)
		}
		text, rest, _ := strings.Cut(stdout.String(), "\n")
		h, err := passwords.Parse(text)
		if err != nil || rest != "" || !h.Matches([]byte("of a machine")) {
			t.Errorf("%s: printed %q, %v", algorithm, &stdout, err)
		}
	}
	for name, args := range map[string][]string{"nothing": {}, "argument": {"the-password"}, "algorithm": {"--algorithm", "md5"}} {
		var stdout, stderr bytes.Buffer
		e := &env{ctx: t.Context(), stdin: strings.NewReader("\n"), stdout: &stdout, stderr: &stderr}
		if code := run(e, append([]string{"passwords", "hash"}, args...)); code != exitUsage || stdout.Len() > 0 && name != "argument" && name != "algorithm" {
			t.Errorf("%s: exit code %d, %s", name, code, &stdout)
		}
	}
}
