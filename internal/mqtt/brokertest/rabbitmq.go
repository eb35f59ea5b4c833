package brokertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// rabbitMQ starts RabbitMQ with its MQTT plugin as an own node: folders, ports,
// the Erlang port mapper and the Erlang cookie are all the test's. Its window
// of unacknowledged messages is the usual 10 (mqtt.prefetch). The dot of spBv1.0 stays one
// (mqtt.sparkplug); those of other topics become slashes, as ever.
func rabbitMQ(t Host) *Broker {
	t.Helper()
	program := binary(t, "rabbitmq-server", rabbitPaths...)
	folder := t.TempDir()
	port, epmdPort := freePort(t), startPortMapper(t)
	b := &Broker{
		Name: NameRabbitMQ, Username: "plant", Password: "plant-secret",
		addr: fmt.Sprintf("127.0.0.1:%d", port),
	}
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	conf := write("rabbitmq.conf", fmt.Sprintf(`listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:%d
mqtt.allow_anonymous = false
mqtt.prefetch = 10
mqtt.sparkplug = true
default_user = %s
default_pass = %s
disk_free_limit.absolute = 10MB
`, port, b.Username, b.Password))
	env := append(os.Environ(),
		"HOME="+folder,
		"RABBITMQ_BASE="+folder,
		"RABBITMQ_NODENAME=plantgate-test@localhost",
		"RABBITMQ_DIST_PORT="+strconv.Itoa(freePort(t)),
		"RABBITMQ_CONF_ENV_FILE="+write("rabbitmq-env.conf", ""),
		"RABBITMQ_CONFIG_FILE="+conf,
		"RABBITMQ_ENABLED_PLUGINS_FILE="+write("enabled_plugins", "[rabbitmq_mqtt].\n"),
		"RABBITMQ_MNESIA_BASE="+filepath.Join(folder, "mnesia"),
		"RABBITMQ_LOG_BASE="+filepath.Join(folder, "log"),
		"RABBITMQ_PID_FILE="+filepath.Join(folder, "pid"),
		"RABBITMQ_GENERATED_CONFIG_DIR="+filepath.Join(folder, "generated"),
		// Schedulers that wait busily would take a small machine for themselves.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_EPMD_PORT="+strconv.Itoa(epmdPort),
	)
	b.command = func() *exec.Cmd {
		cmd := exec.Command(program)
		cmd.Dir, cmd.Env = folder, env
		return cmd
	}
	return b.launch(t)
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
