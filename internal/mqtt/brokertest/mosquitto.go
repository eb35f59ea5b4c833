package brokertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// mosquitto starts Eclipse Mosquitto with persistence and without a bound on
// what waits for an absent session: a stock one drops silently beyond 1000
// messages. Its window of unacknowledged messages is the usual 20.
func mosquitto(t Host) *Broker {
	t.Helper()
	program := binary(t, "mosquitto", mosquittoPaths...)
	passwd := binary(t, "mosquitto", passwdPaths...)
	folder := t.TempDir()
	b := &Broker{
		Name: NameMosquitto, Username: "plant", Password: "plant-secret",
		addr: fmt.Sprintf("127.0.0.1:%d", freePort(t)),
	}
	passwords := filepath.Join(folder, "passwords")
	if out, err := exec.Command(passwd, "-b", "-c", passwords, b.Username, b.Password).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	conf := filepath.Join(folder, "mosquitto.conf")
	text := fmt.Sprintf(`listener %s 127.0.0.1
allow_anonymous false
password_file %s
persistence true
persistence_location %s/
autosave_interval 1
max_queued_messages 0
max_inflight_messages 20
`, b.addr[len("127.0.0.1:"):], passwords, folder)
	if os.Getuid() == 0 {
		text += "user root\n" // else it becomes the user mosquitto, who can't read the folder
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.command = func() *exec.Cmd { return exec.Command(program, "-c", conf) }
	return b.launch(t)
}
