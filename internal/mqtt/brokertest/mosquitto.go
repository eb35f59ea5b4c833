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
func mosquitto(t Host, s Settings) *Broker {
	t.Helper()
	program := binary(t, "mosquitto", mosquittoPaths...)
	passwd := binary(t, "mosquitto", passwdPaths...)
	at := Places{Folder: t.TempDir(), Port: freePort(t), TLSPort: freePort(t)}
	b := &Broker{
		Name: NameMosquitto, Username: "plant", Password: "plant-secret",
		addr: fmt.Sprintf("127.0.0.1:%d", at.Port),
	}
	if s.TLS != nil || s.Conf != nil {
		b.tlsAddr = fmt.Sprintf("127.0.0.1:%d", at.TLSPort)
	}
	at.Passwords = filepath.Join(at.Folder, "passwords")
	if out, err := exec.Command(passwd, "-b", "-c", at.Passwords, b.Username, b.Password).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	for name, password := range s.Users {
		if out, err := exec.Command(passwd, "-b", at.Passwords, name, password).CombinedOutput(); err != nil {
			t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
		}
	}
	write := mosquittoConf
	if s.Conf != nil {
		write = func(at Places, _ Settings) string { return s.Conf(at) }
	}
	text := write(at, s)
	if os.Getuid() == 0 {
		text += "user root\n" // else it becomes the user mosquitto, who can't read the folder
	}
	conf := filepath.Join(at.Folder, "mosquitto.conf")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var environ []string
	if s.TLS != nil && s.TLS.Only12 {
		environ = append(os.Environ(), "OPENSSL_CONF="+only12(t, at.Folder))
	}
	b.command = func() *exec.Cmd {
		cmd := exec.Command(program, "-c", conf)
		cmd.Env = environ
		return cmd
	}
	return b.launch(t)
}

func mosquittoConf(at Places, s Settings) string {
	window := 20
	if s.Window > 0 {
		window = s.Window
	}
	text := fmt.Sprintf(`allow_anonymous false
password_file %s
persistence true
persistence_location %s/
autosave_interval 1
max_queued_messages 0
max_inflight_messages %d
listener %d 127.0.0.1
`, at.Passwords, at.Folder, window, at.Port)
	if s.TLS == nil {
		return text
	}
	text += fmt.Sprintf(`listener %d 127.0.0.1
cafile %s
certfile %s
keyfile %s
require_certificate %t
`, at.TLSPort, s.TLS.CAFile, s.TLS.CertFile, s.TLS.KeyFile, s.TLS.RequireClient)
	if s.TLS.Only12 {
		text += "tls_version tlsv1.2\n" // that is the least; only12 says the rest
	}
	return text
}

// only12 writes a configuration of OpenSSL without TLS 1.3, which Mosquitto has no word for.
func only12(t Host, folder string) string {
	t.Helper()
	path := filepath.Join(folder, "openssl.cnf")
	text := "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nMaxProtocol = TLSv1.2\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
