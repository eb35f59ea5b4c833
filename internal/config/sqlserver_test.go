package config_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plantgate/internal/config"
)

// TestSQLServerConnections: a connection that others could read, or whose server could
// be anybody, is refused with the reason, unless it is asked for.
func TestSQLServerConnections(t *testing.T) {
	t.Parallel()
	const host = "sqlserver://plantgate@db.example:1433?database=plant"
	for dsn, want := range map[string]string{
		host:                                   "",
		host + "&encrypt=strict":               "",
		host + "&Encrypt=True":                 "",
		host + "&encrypt=disable":              "in the open",
		host + "&encrypt=false":                "in the open",
		host + "&encrypt=optional":             "in the open",
		host + "&TrustServerCertificate=true":  "any server",
		host + "&trustservercertificate=yes":   "any server",
		host + "&trustServerCertificate=false": "",
		"sqlserver://plantgate@db.example":     "names no database",
		"sqlserver://?database=plant":          "names no host",
		"sqlserver://%zz":                      "is not a URL",
	} {
		_, _, err := config.Load("", []string{"PLANTGATE_STORE_DSN=" + dsn})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), "store.dsn: ") || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", dsn, err, want)
		}
		if want == "in the open" || want == "any server" {
			if _, _, err := config.Load("", []string{"PLANTGATE_STORE_DSN=" + dsn, "PLANTGATE_STORE_SQLSERVER_ALLOW_INSECURE=true"}); err != nil {
				t.Errorf("%s, though it is asked for: %v", dsn, err)
			}
		}
	}
}

// TestSQLServerConnectionString: what is not said is safe, and the password comes from a
// file and is shown nowhere.
func TestSQLServerConnectionString(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	secret, bundle := filepath.Join(folder, "password"), filepath.Join(folder, "bundle.pem")
	for path, text := range map[string]string{secret: "p@ss:w/rd\n", bundle: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := config.Load("", []string{
		"PLANTGATE_STORE_DSN=sqlserver://plantgate:old@db.example:1433?database=plant",
		"PLANTGATE_STORE_PASSWORD_FILE=" + secret, "PLANTGATE_STORE_SQLSERVER_CA_FILE=" + bundle,
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(c.Store.ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	if password, _ := u.User.Password(); password != "p@ss:w/rd" || u.User.Username() != "plantgate" {
		t.Errorf("user %s", u.User)
	}
	for name, want := range map[string]string{"encrypt": "true", "certificate": bundle, "database": "plant", "app name": "plantgate"} {
		if got := u.Query().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	c.Store.DSN = "sqlserver://plantgate:old@db.example?database=plant&password=older&Change+Password=oldest"
	if shown := c.Store.RedactedDSN(); strings.Contains(shown, "old") || !strings.Contains(shown, "db.example") {
		t.Errorf("people see %s", shown)
	}
}
