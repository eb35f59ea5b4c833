package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plantgate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExampleShowsTheDefaults(t *testing.T) {
	t.Parallel()
	got, _, err := Load(writeFile(t, string(Example)), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the example differs from the defaults (-default +example):\n%s", diff)
	}
}

// uncommented is the example with every commented-out key put in force.
func uncommented(t *testing.T) string {
	t.Helper()
	text := regexp.MustCompile(`(?m)^(\s*)# `).ReplaceAllString(string(Example), "$1  ")
	text = regexp.MustCompile(`(?m)^(\s*[a-z_]+): \[\]$`).ReplaceAllStringFunc(text, func(s string) string {
		if strings.Contains(s, "hosts") || strings.Contains(s, "trusted_proxies") {
			return s
		}
		return strings.TrimSuffix(s, " []")
	})
	return text
}

func TestEveryKeyIsInTheExample(t *testing.T) {
	t.Parallel()
	text := uncommented(t)
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Anonymous {
				walk(f.Type, path)
				continue
			}
			name := f.Tag.Get("koanf")
			if !regexp.MustCompile(`(?m)^\s*(- )?` + name + `:`).MatchString(text) {
				t.Errorf("the example lacks %s%s", path, name)
			}
			ft := f.Type
			if ft.Kind() == reflect.Slice || ft.Kind() == reflect.Pointer {
				ft = ft.Elem()
			}
			if ft.Kind() == reflect.Struct {
				walk(ft, path+name+".")
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

func TestExampleListsLoad(t *testing.T) {
	t.Parallel()
	text := regexp.MustCompile(`(?m)password_file: /.*$`).ReplaceAllString(uncommented(t), `password_file: ""`)
	text = strings.Replace(text, `password: ""`, `password: "0123456789abcdef"`, 1)
	c, _, err := Load(writeFile(t, text), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if len(c.Sites) != 1 || len(c.MQTT.Connections) != 1 || len(c.MQTT.Connections[0].Subscriptions) < 6 || len(c.MQTT.Connections[0].Publish) != 1 ||
		len(c.OPCUA.Connections) != 1 || c.OPCUA.Connections[0].Machines[0].Nodes[1].Map["1"] != "Running" {
		t.Errorf("the lists were not read: %+v", c)
	}
}

func TestPasswordsFromFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := `
mqtt:
  broker:
    enabled: true
    users: [{username: edge, password_file: FILE}]
  connections:
  - {name: plant, url: "mqtt://a:1883", username: u, password_file: FILE, subscriptions: [{topic: t}]}
opcua:
  connections:
  - name: press
    endpoint: opc.tcp://a:4840
    username: u
    password_file: FILE
    machines: [{machine_id: M1, nodes: [{node_id: "ns=1;s=A"}]}]
`
	if _, _, err := Load(writeFile(t, strings.ReplaceAll(text, "FILE", file)), nil); err != nil {
		t.Error(err)
	}
	_, _, err := Load(writeFile(t, strings.ReplaceAll(text, "FILE", file+".missing")), nil)
	for _, key := range []string{"mqtt.broker.users[0].password_file", "opcua.connections[0].password_file"} {
		if err == nil || !strings.Contains(err.Error(), key+": can't be read") {
			t.Errorf("%s is missing, which is not named: %v", key, err)
		}
	}
}

// A number would be read as nanoseconds.
func TestDurationsNeedAUnit(t *testing.T) {
	t.Parallel()
	_, _, err := Load(writeFile(t, "server:\n  stop_timeout: 15\ndata:\n  max_future: 5\n"), nil)
	for _, key := range []string{"server.stop_timeout", "data.max_future"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s without a unit is not named: %v", key, err)
		}
	}
}

func TestEnvironmentComesAfterTheFile(t *testing.T) {
	t.Parallel()
	c, unknown, err := Load(writeFile(t, "server:\n  listen: ':1'\n  stop_timeout: 3s\n"), []string{
		"PLANTGATE_SERVER_LISTEN=:2", "PLANTGATE_SITE_TIMEZONE=Asia/Kolkata", "PLANTGATE_DATA_MAX_FUTURE=90s",
		"PLANTGATE_STORE_READERS=7", "PLANTGATE_API_KEY=0123456789abcdef", "PLANTGATE_SERVER_TLS_HOSTS=a,b",
		"PLANTGATE_SERVICE_HOST=10.0.0.1", "HOME=/x",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Server.Listen != ":2" || c.Server.StopTimeout != 3*time.Second || c.Site.TimeZone != "Asia/Kolkata" ||
		c.Data.MaxFuture != 90*time.Second || c.Store.Readers != 7 || c.Auth.BootstrapKey != "0123456789abcdef" ||
		!slices.Equal(c.Server.TLS.Hosts, []string{"a", "b"}) {
		t.Errorf("unexpected configuration %+v", c)
	}
	if !slices.Equal(unknown, []string{"PLANTGATE_SERVICE_HOST"}) {
		t.Errorf("unknown variables %v", unknown)
	}
}

func TestSecretsOfTheEnvironmentWin(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "from the file 01")
	other := writeFile(t, "from another file")
	yaml := writeFile(t, "auth: {bootstrap_key_file: "+file+"}")
	for want, environ := range map[string][]string{
		"from the file 01":  nil,
		"from the variable": {"PLANTGATE_API_KEY=from the variable"},
		"from another file": {"PLANTGATE_API_KEY_FILE=" + other},
	} {
		c, _, err := Load(yaml, environ)
		if err != nil || c.Auth.BootstrapKey != want {
			t.Errorf("got %q, %v, want %q", c.Auth.BootstrapKey, err, want)
		}
	}
	_, _, err := Load("", []string{"PLANTGATE_API_KEY=from the variable", "PLANTGATE_API_KEY_FILE=" + other})
	if !errors.As(err, new(Faults)) {
		t.Errorf("both forms in the environment: %v", err)
	}
}

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "missing")
	_, _, err := Load(writeFile(t, strings.ReplaceAll(`
server:
  listn: ":1"
  listen: "8443"
  tls: {mode: off}
store: {dsn: "postgres://x"}
site: {timezone: Mars/Olympus}
sites: [{id: a, timezone: UTC}, {id: a, timezone: UTC, zone: x}]
auth: {bootstrap_key: short}
data: {max_batch: 0}
`, "\t", "  ")), []string{"PLANTGATE_STORE_DSN_FILE=" + secret})
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatalf("want Faults, got %v", err)
	}
	for _, key := range []string{
		"server.listn", "server.listen", "server.tls.mode", "store.dsn", "store.dsn_file", "site.timezone",
		"sites[1].id", "sites[1].zone", "auth.bootstrap_key", "data.max_batch",
	} {
		if !slices.ContainsFunc(faults, func(f Fault) bool { return f.Key == key }) {
			t.Errorf("no fault names %s in:\n%v", key, err)
		}
	}
	if strings.Contains(err.Error(), "short") {
		t.Error("the fault shows the key")
	}
}

func TestWrongTypesAreFaults(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"server: {stop_timeout: soon}", "store: {readers: many}", "mqtt: {connections: {}}", "sites: 5", "server: []", "a: [",
	} {
		_, _, err := Load(writeFile(t, text), nil)
		var faults Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Errorf("%s: want Faults, got %v", text, err)
		}
	}
}

// TestFaultsOfEveryKindAtOnce: what can't be read hides nothing else, and is named once.
func TestFaultsOfEveryKindAtOnce(t *testing.T) {
	t.Parallel()
	_, _, err := Load(writeFile(t, `
server: {listn: x, stop_timeout: 15}
store: {log: {max_records: -1}}
mqtt: {broker: "yes", connections: [{name: a, url: "http://b:1", keep_alive: [1]}]}
`), nil)
	var faults Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	var keys []string
	for _, f := range faults {
		keys = append(keys, f.Key)
	}
	slices.Sort(keys)
	want := []string{
		"mqtt.broker", "mqtt.connections[0].keep_alive", "mqtt.connections[0].subscriptions", "mqtt.connections[0].url",
		"server.listn", "server.stop_timeout", "store.log.max_records",
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("the faults are of (-want +got):\n%s\n%v", diff, err)
	}
}

func TestMissingFileIsAFault(t *testing.T) {
	t.Parallel()
	_, _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil)
	if !errors.As(err, new(Faults)) {
		t.Errorf("want Faults, got %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(string(Example))
	f.Add("server: {listen: 5}")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, _ = Load(path, nil) // must not panic
	})
}
