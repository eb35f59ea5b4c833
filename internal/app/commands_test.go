package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/outbox"
	"plantgate/internal/store"
)

// commandOf is what tests look at in a command.
type commandOf struct {
	ID, State      string
	SentAt         *time.Time `json:"sent_at"`
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
	FinishedAt     *time.Time `json:"finished_at"`
	Reply          *struct {
		Message string
		Data    json.RawMessage
	}
}

// floorOf is a machine at a broker: what it gets comes by the channel.
func floorOf(t *testing.T, brokerURL, filter string) (paho.Client, <-chan paho.Message) {
	t.Helper()
	got := make(chan paho.Message, 100)
	client := publisher(t, brokerURL, "the floor")
	finished(t, client.Subscribe(filter, 1, func(_ paho.Client, m paho.Message) { got <- m }))
	return client, got
}

func nextOf(t *testing.T, got <-chan paho.Message) paho.Message {
	t.Helper()
	select {
	case m := <-got:
		return m
	case <-time.After(apptest.Patience):
		t.Fatal("nothing came")
		return nil
	}
}

func command(c *apptest.Client, id string) commandOf {
	return apptest.Get[commandOf](c, "/api/v1/commands/"+id)
}

func awaitState(t *testing.T, c *apptest.Client, id, state string) commandOf {
	t.Helper()
	apptest.Eventually(t, "state "+state, func() bool { return command(c, id).State == state })
	return command(c, id)
}

// throughBroker makes a server a client of another's broker.
func throughBroker(url string) func(*config.Config) {
	return func(c *config.Config) {
		c.MQTT.Broker.Enabled = false
		c.MQTT.Connections = []config.MQTTConnection{{
			Name: "hall", URL: url, Username: apptest.MQTTUser, Password: apptest.MQTTPassword,
			Subscriptions: []config.Subscription{
				{Topic: "up/{site}/{machine}/replies", Format: config.FormatReply},
				{Topic: "up/{site}/{machine}/data"},
			},
			Publish: []config.Publish{{Topic: "down/{site}/{machine}/{command}"}},
		}}
	}
}

// throughOwn has machines at the server's own broker.
func throughOwn(c *config.Config) {
	c.MQTT.Broker.Subscriptions = []config.Subscription{{Topic: "up/{site}/{machine}/replies", Format: config.FormatReply}}
	c.MQTT.Broker.Publish = []config.Publish{{Topic: "down/{site}/{machine}/{command}"}}
}

// TestCommands sends commands to a machine at a broker, and at the own one, and takes its
// replies.
func TestCommands(t *testing.T) {
	t.Parallel()
	t.Run("connection", func(t *testing.T) {
		t.Parallel()
		broker := apptest.Start(t)
		testCommands(t, apptest.Start(t, throughBroker(broker.BrokerURL)), broker.BrokerURL)
	})
	t.Run("own broker", func(t *testing.T) {
		t.Parallel()
		s := apptest.Start(t, throughOwn)
		testCommands(t, s, s.BrokerURL)
	})
}

func testCommands(t *testing.T, s *apptest.Server, brokerURL string) {
	machine, got := floorOf(t, brokerURL, "down/#")
	s.Post(`[{"machine_id":"M1","x":1},{"machine_id":"M2","x":1}]`).Want(http.StatusCreated)
	made := apptest.Decode[commandOf](s.Do(http.MethodPost, "/api/v1/equipment/M1/commands",
		`{"command":"job_order.dispatch","parameters":{"order":"4711"}}`).Want(http.StatusCreated))
	m := nextOf(t, got)
	var payload map[string]any
	if err := json.Unmarshal(m.Payload(), &payload); err != nil || m.Topic() != "down/main/M1/job_order.dispatch" || m.Retained() ||
		payload["command_id"] != made.ID || payload["machine_id"] != "M1" || fmt.Sprint(payload["parameters"]) != "map[order:4711]" {
		t.Fatalf("at %s came %s", m.Topic(), m.Payload())
	}
	if c := awaitState(t, s.Client, made.ID, "sent"); c.SentAt == nil {
		t.Errorf("sent: %+v", c)
	}
	say := func(machineID, text string) {
		t.Helper()
		// The acknowledgement of the broker is not yet that of the server, behind a connection.
		finished(t, machine.Publish("up/main/"+machineID+"/replies", 1, false, text))
	}
	say("M1", fmt.Sprintf(`{"command_id":%q,"status":"acknowledged","own":1}`, made.ID))
	if c := awaitState(t, s.Client, made.ID, "acknowledged"); c.AcknowledgedAt == nil || c.FinishedAt != nil {
		t.Errorf("acknowledged: %+v", c)
	}
	say("M1", fmt.Sprintf(`{"command_id":%q,"status":"completed","message":"done","data":{"good":12.50}}`, made.ID))
	c := awaitState(t, s.Client, made.ID, "completed")
	if c.FinishedAt == nil || c.Reply == nil || c.Reply.Message != "done" || string(c.Reply.Data) != `{"good":12.50}` {
		t.Errorf("completed: %+v", c)
	}
	// Late, again, and what is no reply.
	say("M1", fmt.Sprintf(`{"command_id":%q,"status":"acknowledged"}`, made.ID))
	say("M2", fmt.Sprintf(`{"command_id":%q,"status":"failed"}`, made.ID))
	say("M1", fmt.Sprintf(`{"command_id":%q,"status":"failed"}`, mes.NewID()))
	say("M1", `{"status":"done"}`)
	say("M1", `[not JSON`)
	type item struct {
		ID, Format string
		Reason     struct{ Code string }
	}
	var items []item
	apptest.Eventually(t, "4 items in quarantine", func() bool {
		items = apptest.Get[apptest.Page[item]](s.Client, "/api/v1/quarantine").Items
		return len(items) >= 4
	})
	var codes []string
	for _, i := range items {
		codes = append(codes, i.Format+" "+i.Reason.Code)
	}
	if want := []string{"reply conflict", "reply not_found", "reply invalid", "reply malformed"}; !slices.Equal(codes, want) {
		t.Errorf("quarantine has %q, want %q", codes, want)
	}
	if after := command(s.Client, made.ID); after.State != "completed" || after.Reply.Message != "done" {
		t.Errorf("after late and foreign replies: %+v", after)
	}
	if records := apptest.Get[apptest.Page[apptest.Record]](s.Client, "/data?source=mqtt").Items; len(records) != 0 {
		t.Errorf("commands and replies became records: %+v", records)
	}
	s.Do(http.MethodPost, "/api/v1/quarantine/"+items[2].ID+"/replay", "").Want(http.StatusUnsupportedMediaType)
	checkOutboxMetrics(t, s)
}

func checkOutboxMetrics(t *testing.T, s *apptest.Server) {
	t.Helper()
	r, err := s.HTTP.Do(s.Request(t.Context(), http.MethodGet, "/metrics", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	target := `{target="broker"}`
	if !s.Config.MQTT.Broker.Enabled {
		target = `{target="mqtt:hall"}`
	}
	for _, line := range []string{"plantgate_outbox_sent_total" + target + " 1", "plantgate_outbox_waiting" + target + " 0", "plantgate_outbox_oldest_seconds" + target + " 0"} {
		if !strings.Contains(string(body), line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// TestCommandsWaitForTheBroker: what is accepted while the broker is away survives a
// restart, and goes in order once it is there, but for what was cancelled or has expired.
func TestCommandsWaitForTheBroker(t *testing.T) {
	t.Parallel()
	broker := apptest.Start(t)
	s := apptest.Start(t, throughBroker("tcp://127.0.0.1:1")) // nobody listens there
	s.Post(`{"machine_id":"M1","x":1}`).Want(http.StatusCreated)
	send := func(body string) string {
		return apptest.Decode[commandOf](s.Do(http.MethodPost, "/api/v1/equipment/M1/commands", body).Want(http.StatusCreated)).ID
	}
	var want []string
	for i := range 20 {
		want = append(want, send(fmt.Sprintf(`{"command":"c%d"}`, i)))
	}
	expired := send(fmt.Sprintf(`{"command":"late","expires_at":%q}`, time.Now().Add(100*time.Millisecond).Format(time.RFC3339Nano)))
	cancelled := send(`{"command":"never"}`)
	want = append(want, send(`{"command":"last"}`))
	if got := apptest.Decode[commandOf](s.Do(http.MethodPost, "/api/v1/commands/"+cancelled+"/cancel", "").Want(http.StatusOK)); got.State != "cancelled" {
		t.Errorf("cancelled: %+v", got)
	}
	time.Sleep(150 * time.Millisecond)

	_, got := floorOf(t, broker.BrokerURL, "down/#")
	s.Stop()
	s.Config.MQTT.Connections[0].URL = broker.BrokerURL
	s.Restart()
	for i, id := range want {
		if m := nextOf(t, got); !strings.Contains(string(m.Payload()), id) {
			t.Fatalf("command %d is %s, want %s", i, m.Payload(), id)
		}
	}
	awaitState(t, s.Client, want[len(want)-1], "sent")
	if c := command(s.Client, expired); c.State != "expired" || c.FinishedAt == nil || c.SentAt != nil {
		t.Errorf("expired: %+v", c)
	}
	if c := command(s.Client, cancelled); c.State != "cancelled" {
		t.Errorf("cancelled: %+v", c)
	}
	if len(got) != 0 {
		t.Errorf("more came: %s", (<-got).Payload())
	}
}

// TestRetainedValueStands puts values that stand into the outbox: a machine that comes
// later finds the newest, and none once it is cleared.
func TestRetainedValueStands(t *testing.T) {
	t.Parallel()
	broker := apptest.Start(t)
	s := apptest.Start(t, throughBroker(broker.BrokerURL))
	s.Stop()
	put := func(payload string) {
		t.Helper()
		db, err := store.Open(t.Context(), s.Config.Store.DSN, store.Options{MustExist: true})
		if err != nil {
			t.Fatal(err)
		}
		err = db.EnqueueMessages(t.Context(), []outbox.Message{{
			ID: mes.NewID(), Target: "mqtt:hall", Key: "main~M1", Topic: "down/main/M1/current_order",
			Payload: []byte(payload), QoS: 1, Retained: true, CreatedAt: time.Now(),
		}})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_, got := floorOf(t, broker.BrokerURL, "down/#")
	put("4711")
	put("4712")
	s.Restart()
	if m := nextOf(t, got); string(m.Payload()) != "4712" {
		t.Errorf("the value is %s", m.Payload())
	}
	later := publisher(t, broker.BrokerURL, "later")
	standing := make(chan paho.Message, 10)
	finished(t, later.Subscribe("down/main/+/current_order", 1, func(_ paho.Client, m paho.Message) { standing <- m }))
	if m := nextOf(t, standing); string(m.Payload()) != "4712" || !m.Retained() {
		t.Errorf("who comes later finds %s, retained %t", m.Payload(), m.Retained())
	}
	s.Stop()
	put("")
	s.Restart()
	if m := nextOf(t, got); len(m.Payload()) != 0 {
		t.Errorf("the value was not cleared: %s", m.Payload())
	}
	last := publisher(t, broker.BrokerURL, "last")
	finished(t, last.Subscribe("down/main/M1/current_order", 1, func(_ paho.Client, m paho.Message) { t.Errorf("a value stands: %s", m.Payload()) }))
	finished(t, last.Unsubscribe("down/main/M1/current_order")) // after what the broker had
}
