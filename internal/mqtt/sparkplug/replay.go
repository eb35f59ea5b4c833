package sparkplug

import (
	"bytes"
	"context"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// Births keeps what edge nodes and devices said at their birth, for data that come after
// a restart.
type Births interface {
	// SparkplugBirths are those of a connection, in the order of their addresses.
	SparkplugBirths(ctx context.Context, connection string) ([]mes.SparkplugBirth, error)
	// ChangeSparkplugBirths keeps and forgets, both or neither.
	ChangeSparkplugBirths(ctx context.Context, connection string, change mes.SparkplugChange) error
}

// replayTimeout bounds the look-up of births for a replay.
const replayTimeout = 10 * time.Second

// Replay reads messages of quarantine once more: payloads of Sparkplug B by the births
// that are known now, everything else as Next does.
type Replay struct {
	Next   ingest.Decoder
	Births Births
	// Connections by their names.
	Connections map[string]Config
}

// Decode implements ingest.Decoder. A correction by hand in JSON is read as Next reads it.
func (r *Replay) Decode(src ingest.Source, body []byte) []mes.Record {
	if ingest.Format(src.Origin.Format) != Format {
		return r.Next.Decode(src, body)
	}
	// No payload begins with '{': it would be the start of a group.
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		src.Origin.Format = string(ingest.FormatAuto)
		return r.Next.Decode(src, body)
	}
	return r.read(src, body)
}

func (r *Replay) read(src ingest.Source, body []byte) []mes.Record {
	cfg, ok := r.Connections[src.Origin.Connection]
	m := maker{cfg: &cfg, siteID: src.SiteID, machine: src.MachineID, message: Message{
		Name: src.Origin.Address, Payload: body, ReceivedAt: src.ReceivedAt,
	}}
	cfg.Connection = src.Origin.Connection
	if !ok {
		return []mes.Record{m.faulty("the connection is not one of Sparkplug B any more")}
	}
	topic, err := ParseTopic(src.Origin.Address)
	if err != nil {
		return []mes.Record{m.faulty(err.Error())}
	}
	p, err := Decode(body)
	if err != nil {
		return []mes.Record{m.faulty(err.Error())}
	}
	m.message.Topic = topic
	var b *birth
	var wrong problems
	if topic.Type == NBirth || topic.Type == DBirth {
		said, faults := define(&p, body)
		b, wrong = &said, faults
	} else if b, err = r.birth(src.Origin.Connection, topic.Address()); err != nil {
		return []mes.Record{m.faulty("the births can't be read now")}
	}
	list := m.records(&p, b, wrong)
	if len(list) == 0 {
		return []mes.Record{m.faulty("the message has no metric that is a signal")}
	}
	return list
}

// birth returns what is known of a node or a device; nil if nothing is.
func (r *Replay) birth(connection, address string) (*birth, error) {
	ctx, cancel := context.WithTimeout(context.Background(), replayTimeout)
	defer cancel()
	births, err := r.Births.SparkplugBirths(ctx, connection)
	if err != nil {
		return nil, err
	}
	for i := range births {
		if births[i].Address != address {
			continue
		}
		if p, err := Decode(births[i].Payload); err == nil {
			b, _ := define(&p, births[i].Payload)
			return &b, nil
		}
	}
	return nil, nil
}
