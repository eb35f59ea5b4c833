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
	Test mqttTestCmd `cmd:"" help:"Tell what would be stored of an MQTT message, which is read from standard input; no server is needed. Fails if no subscription is for it or a part would go to quarantine."`
}

type mqttTestCmd struct {
	configFlag
	Name     string  `arg:"" help:"Connection of the configuration; broker is the own one."`
	Topic    string  `arg:"" help:"Topic of the message."`
	File     string  `help:"Message, instead of standard input." type:"existingfile" placeholder:"FILE"`
	Retained bool    `help:"The message comes as a retained one."`
	At       receipt `help:"Time of receipt (RFC 3339), such as 2026-11-22T10:15:00Z; now if left out." placeholder:"TIME"`
}

// Run reads a message and prints what it would become, as the API answers it. It fails
// unless all of it would be taken.
func (c *mqttTestCmd) Run(e *env) error {
	cfg, _, err := c.load(e)
	if err != nil {
		return err
	}
	m := api.SampleMessage{Topic: c.Topic, Retained: c.Retained, ReceivedAt: mes.Micros(c.At.Time)}
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

// receipt is a time of receipt on the command line.
type receipt struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *receipt) UnmarshalText(text []byte) (err error) {
	if r.Time, err = time.Parse(time.RFC3339, string(text)); err != nil {
		return mes.Errorf(mes.CodeInvalid, "must be a time with its offset (RFC 3339), such as 2026-11-22T10:15:00Z or 2026-11-22T11:15:00+01:00, not %q", text)
	}
	return nil
}

func (c *mqttTestCmd) read(e *env) ([]byte, error) {
	if c.File != "" {
		return os.ReadFile(c.File)
	}
	return io.ReadAll(e.stdin)
}
