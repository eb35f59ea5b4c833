package doctor

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	t.Parallel()
	r := new(Report)
	var empty bytes.Buffer
	if err := r.WriteJSON(&empty); err != nil || !strings.Contains(empty.String(), `"findings": []`) || r.Failed() {
		t.Errorf("empty: %s, %v", empty.String(), err)
	}
	s := r.On("mqtt plant")
	s.OK("tcp", "answers after %d ms", 3)
	s.Warn("tls", "renew it", "expires")
	if r.Failed() {
		t.Error("a warning fails the whole")
	}
	s.Fail("connect", "ask", "the broker said \x1b[31mno\nand more")
	if !r.Failed() {
		t.Error("a fault does not fail the whole")
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"OK", "answers after 3 ms", "WARNING", "-> renew it", "FAULT", " [31mno and more", "1 fault, 1 warning\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Error("what a broker says reaches the terminal")
	}
	var out bytes.Buffer
	if err := r.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Failed   bool
		Findings []Finding
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || !got.Failed || len(got.Findings) != 3 || got.Findings[2].Level != Fault {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCertificateFileThatIsNone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret-name.pem")
	if err := os.WriteFile(path, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := new(Report)
	r.On("x").CertificateFile("tls.ca_file", path, time.Now())
	r.On("x").CertificateFile("tls.ca_file", path+".none", time.Now())
	if r.Count(Fault) != 2 {
		t.Errorf("%+v", r.Findings)
	}
}
