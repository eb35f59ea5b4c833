package brokertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// rabbitMQ starts RabbitMQ with its MQTT plugin as an own node: folders, ports,
// the Erlang port mapper and the Erlang cookie are all the test's. Its window
// of unacknowledged messages is the usual 10 (mqtt.prefetch). The dot of spBv1.0 stays one
// (mqtt.sparkplug); those of other topics become slashes, as ever.
func rabbitMQ(t Host, s Settings) *Broker {
	t.Helper()
	program := binary(t, "rabbitmq-server", rabbitPaths...)
	folder := t.TempDir()
	at := Places{Folder: folder, Port: freePort(t), TLSPort: freePort(t)}
	epmdPort := startPortMapper(t)
	b := &Broker{
		Name: NameRabbitMQ, Username: "plant", Password: "plant-secret",
		addr:       fmt.Sprintf("127.0.0.1:%d", at.Port),
		controller: filepath.Join(filepath.Dir(program), "rabbitmqctl"),
	}
	if s.TLS != nil || s.Conf != nil {
		b.tlsAddr = fmt.Sprintf("127.0.0.1:%d", at.TLSPort)
	}
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var text string
	if s.Conf != nil {
		text = s.Conf(at)
	} else {
		text = rabbitConf(at, s) + fmt.Sprintf("default_user = %s\ndefault_pass = %s\n", b.Username, b.Password)
	}
	conf := write("rabbitmq.conf", text)
	plugins := strings.Join(append([]string{"rabbitmq_mqtt"}, s.Plugins...), ",")
	env := append(os.Environ(),
		"HOME="+folder,
		"RABBITMQ_BASE="+folder,
		"RABBITMQ_NODENAME=plantgate-test@localhost",
		"RABBITMQ_DIST_PORT="+strconv.Itoa(freePort(t)),
		"RABBITMQ_CONF_ENV_FILE="+write("rabbitmq-env.conf", ""),
		"RABBITMQ_CONFIG_FILE="+conf,
		"RABBITMQ_ENABLED_PLUGINS_FILE="+write("enabled_plugins", "["+plugins+"].\n"),
		"RABBITMQ_MNESIA_BASE="+filepath.Join(folder, "mnesia"),
		"RABBITMQ_LOG_BASE="+filepath.Join(folder, "log"),
		"RABBITMQ_PID_FILE="+filepath.Join(folder, "pid"),
		"RABBITMQ_GENERATED_CONFIG_DIR="+filepath.Join(folder, "generated"),
		// Schedulers that wait busily would take a small machine for themselves.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_EPMD_PORT="+strconv.Itoa(epmdPort),
	)
	b.control = env
	b.command = func() *exec.Cmd {
		cmd := exec.Command(program)
		cmd.Dir, cmd.Env = folder, env
		return cmd
	}
	return b.launch(t)
}

func rabbitConf(at Places, s Settings) string {
	window := 10
	if s.Window > 0 {
		window = s.Window
	}
	text := fmt.Sprintf(`listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:%d
mqtt.allow_anonymous = false
mqtt.prefetch = %d
mqtt.sparkplug = true
disk_free_limit.absolute = 10MB
`, at.Port, window)
	if s.TLS == nil {
		return text
	}
	text += fmt.Sprintf(`mqtt.listeners.ssl.1 = 127.0.0.1:%d
ssl_options.cacertfile = %s
ssl_options.certfile = %s
ssl_options.keyfile = %s
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = %t
`, at.TLSPort, s.TLS.CAFile, s.TLS.CertFile, s.TLS.KeyFile, s.TLS.RequireClient)
	if s.TLS.Only12 {
		text += "ssl_options.versions.1 = tlsv1.2\n"
	}
	return text
}

// Ctl runs rabbitmqctl against RabbitMQ and returns what it prints.
func (b *Broker) Ctl(t Host, args ...string) string {
	t.Helper()
	out, err := b.Command(b.controller, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("rabbitmqctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Controller is rabbitmqctl as it is called by Command.
func (b *Broker) Controller() string { return b.controller }

// Command is a program in the environment in which RabbitMQ's tools find the node.
func (b *Broker) Command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = b.control
	return cmd
}

// startPortMapper starts Erlang's port mapper in the foreground, or the node
// would leave one running behind the test. It returns its port.
func startPortMapper(t Host) int {
	t.Helper()
	program := binary(t, "rabbitmq-server", epmdPaths...)
	port := freePort(t)
	b := &Broker{
		Name: "epmd",
		addr: fmt.Sprintf("127.0.0.1:%d", port),
		command: func() *exec.Cmd {
			return exec.Command(program, "-address", "127.0.0.1", "-port", strconv.Itoa(port))
		},
	}
	b.launch(t)
	return port
}
