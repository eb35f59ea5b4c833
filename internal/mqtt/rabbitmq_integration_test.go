//go:build integration

package mqtt_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/config"
	"plantgate/internal/doctor"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/brokertest"
	"plantgate/internal/mqtt/mqtttest"
)

// shipped reads a file of deploy and puts others in the place of its ports and folders; each
// must be there.
func shipped(t testing.TB, name string, replace ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("deploy/%s has no %q", name, replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	return text
}

// deployed is a broker with the shipped configuration.
type deployed struct {
	*brokertest.Broker
	t    *testing.T
	ca   *brokertest.Authority
	user string
	// passwords is the file with the user's password.
	passwords string
}

func deployedRabbitMQ(t *testing.T) *deployed {
	t.Helper()
	ca := brokertest.NewAuthority(t, "plant")
	own := ca.Issue(t, "127.0.0.1", time.Now().Add(24*time.Hour))
	b := brokertest.StartWith(t, brokertest.NameRabbitMQ, brokertest.Settings{Conf: func(at brokertest.Places) string {
		return shipped(t, "rabbitmq/rabbitmq.conf",
			"ssl.default = 8883", fmt.Sprintf("ssl.default = 127.0.0.1:%d", at.TLSPort),
			"127.0.0.1:1883", fmt.Sprintf("127.0.0.1:%d", at.Port),
			"/etc/rabbitmq/tls/ca.pem", ca.File, "/etc/rabbitmq/tls/cert.pem", own.CertFile, "/etc/rabbitmq/tls/key.pem", own.KeyFile,
			"disk_free_limit.absolute          = 2GB", "disk_free_limit.absolute = 10MB")
	}})
	return &deployed{Broker: b, t: t, ca: ca, user: "plantgate", passwords: secretFile(t, "pg-secret")}
}

// configure runs the shipped script against the node.
func (d *deployed) configure(env ...string) string {
	d.t.Helper()
	cmd := d.Command(filepath.Join("..", "..", "deploy", "rabbitmq", "configure.sh"))
	cmd.Env = append(cmd.Env, "RABBITMQCTL="+d.Controller(), "PLANTGATE_MQTT_PASSWORD_FILE="+d.passwords)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("configure.sh: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "pg-secret") {
		d.t.Errorf("the script prints the password: %s", out)
	}
	return string(out)
}

func (d *deployed) connection() config.MQTTConnection {
	c := connection(d.Addr())
	c.URL = "mqtts://" + d.TLSAddr()
	c.TLS.CAFile = d.ca.File
	c.Username, c.Password, c.PasswordFile = d.user, "", d.passwords
	c.Subscriptions = []config.Subscription{{Topic: "numbers/{machine}"}}
	return c
}

// TestDeployedRabbitMQ: what is shipped for RabbitMQ works with plantgate, twice, gives no
// more rights than needed, and loses nothing at its limit.
func TestDeployedRabbitMQ(t *testing.T) {
	d := deployedRabbitMQ(t)
	d.configure("PLANTGATE_QUEUE_BYTES=20000")
	d.configure("PLANTGATE_QUEUE_BYTES=20000")

	if users := d.Ctl(t, "--quiet", "list_users"); strings.Contains(users, "guest") || !strings.Contains(users, d.user) {
		t.Errorf("users: %s", users)
	}
	found := examined(t, d.connection())
	for _, check := range []string{"connect", "tls", "delivery", "subscription numbers/{machine}"} {
		wantFinding(t, found, check, doctor.OK, "")
	}

	ing := mqtttest.NewIngester()
	a := newAdapter(t, d.connection(), ing)
	stop := run(t, a)
	mqtttest.Eventually(t, "the subscription", func() bool { return a.Status().Bindings[0].State == mes.BindingGranted })
	machine := mqtttest.Connect(t, mqtttest.Options(d.URL(), "plantgate-machine").SetUsername(d.user).SetPassword("pg-secret"))
	mqtttest.Publish(t, machine, "numbers/M1", 1, "first")
	ing.WaitRecords(t, 1)
	stop()

	// A client of another name has no right to a session.
	other := paho.NewClient(mqtttest.Options(d.URL(), "stranger").SetUsername(d.user).SetPassword("pg-secret"))
	mqtttest.Wait(t, other.Connect())
	token := other.Subscribe("numbers/#", 1, nil)
	token.WaitTimeout(mqtttest.Patience)
	if code, ok := token.(*paho.SubscribeToken).Result()["numbers/#"]; ok && code != 0x80 && token.Error() == nil {
		t.Errorf("a stranger's subscription is granted with %d", code)
	}
	other.Disconnect(100)

	// At the limit publications are not acknowledged, and what was acknowledged is there.
	acknowledged := map[string]bool{"first": true}
	refused := 0
	for i := 0; i < 60 && refused < 3; i++ {
		payload := fmt.Sprintf("%03d %s", i, strings.Repeat("x", 1000))
		c := paho.NewClient(mqtttest.Options(d.URL(), "plantgate-filler").SetUsername(d.user).SetPassword("pg-secret"))
		mqtttest.Wait(t, c.Connect())
		token := c.Publish("numbers/M1", 1, false, payload)
		if token.WaitTimeout(time.Second) && token.Error() == nil && c.IsConnectionOpen() {
			acknowledged[payload] = true
		} else {
			refused++
		}
		c.Disconnect(50)
	}
	t.Logf("%d acknowledged, %d refused at the limit", len(acknowledged)-1, refused)
	if len(acknowledged) < 10 || refused == 0 {
		t.Errorf("%d were acknowledged and %d refused", len(acknowledged), refused)
	}
	again := newAdapter(t, d.connection(), ing)
	run(t, again)
	ing.WaitDistinct(t, len(acknowledged))
	stored := map[string]bool{}
	for _, p := range ing.Payloads() {
		stored[p] = true
	}
	for p := range acknowledged {
		if !stored[p] {
			t.Errorf("lost: %.10s", p)
		}
	}
}

// TestExpiredInRabbitMQ: what waits longer than the limit of time is kept elsewhere.
func TestExpiredInRabbitMQ(t *testing.T) {
	d := deployedRabbitMQ(t)
	d.configure("PLANTGATE_MESSAGE_TTL_MS=300")
	d.configure("PLANTGATE_MESSAGE_TTL_MS=300")
	primed(t, func() config.MQTTConnection {
		c := d.connection()
		c.URL, c.Password = d.URL(), "pg-secret"
		return c
	}())
	c := mqtttest.Connect(t, mqtttest.Options(d.URL(), "plantgate-machine").SetUsername(d.user).SetPassword("pg-secret"))
	mqtttest.Publish(t, c, "numbers/M1", 1, "late")
	mqtttest.Eventually(t, "the expired message", func() bool {
		return strings.Contains(d.Ctl(t, "--quiet", "list_queues", "-p", "plant", "name", "messages"), "plantgate-expired\t1")
	})
}

// TestDeployScriptsAreClean runs shellcheck over what is shipped.
func TestDeployScriptsAreClean(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob(filepath.Join("..", "..", "deploy", "*", "*.sh"))
	if err != nil || len(scripts) < 2 {
		t.Fatalf("%v, %v", scripts, err)
	}
	if out, err := exec.Command("shellcheck", scripts...).CombinedOutput(); err != nil {
		t.Errorf("shellcheck (apt-get install shellcheck): %v\n%s", err, out)
	}
}
