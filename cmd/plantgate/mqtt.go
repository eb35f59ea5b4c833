package main

import (
	"encoding/json"
	"io"
	"os"
	"time"

	"plantgate/api"
	"plantgate/internal/app"
	"plantgate/internal/mes"
)

type mqttCmd struct {
	Test mqttTestCmd `cmd:"" help:"Tell what would be stored of an MQTT message, which is read from the standard input; no server is needed. Fails if no subscription is for it or a part would go to quarantine."`
}

type mqttTestCmd struct {
	configFlag
	Name     string    `arg:"" help:"Connection of the configuration; broker is the own one."`
	Topic    string    `arg:"" help:"Topic of the message."`
	File     string    `help:"Message, instead of the standard input." type:"existingfile" placeholder:"FILE"`
	Retained bool      `help:"The message comes as a retained one."`
	At       time.Time `help:"Time of receipt (RFC 3339); now if left out." placeholder:"TIME"`
}

// Run reads a message and prints what it would become, as the API answers it. It fails
// unless all of it would be taken.
func (c *mqttTestCmd) Run(e *env) error {
	cfg, _, err := c.load(e)
	if err != nil {
		return err
	}
	m := api.SampleMessage{Topic: c.Topic, Retained: c.Retained, ReceivedAt: mes.Micros(c.At)}
	if c.At.IsZero() {
		m.ReceivedAt = mes.Micros(time.Now())
	}
	if m.Payload, err = c.read(e); err != nil {
		return err
	}
	outcome, err := app.TestMessage(e.ctx, cfg, c.Name, m)
	if err != nil {
		return err
	}
	out := json.NewEncoder(e.stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	if err := out.Encode(api.NewSampleBody(outcome)); err != nil {
		return err
	}
	return outcome.Fault()
}

func (c *mqttTestCmd) read(e *env) ([]byte, error) {
	if c.File != "" {
		return os.ReadFile(c.File)
	}
	return io.ReadAll(e.stdin)
}
