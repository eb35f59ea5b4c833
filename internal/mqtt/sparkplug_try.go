package mqtt

import (
	"log/slog"
	"strings"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/sparkplug"
)

// TrySparkplug returns what tells whether a message goes to the connection's host
// application of Sparkplug B, which reads it by the births that came before, and the
// records with faults that it becomes whatever those say.
func TrySparkplug(cfg config.MQTTConnection) func(Message) (bool, []mes.Record) {
	h := newSparkplugHost(cfg, Deps{Log: slog.New(slog.DiscardHandler)})
	return func(m Message) (bool, []mes.Record) {
		if !h.matches(m.Topic) {
			return false, nil
		}
		if strings.HasPrefix(m.Topic, sparkplug.Namespace+"/") {
			return true, nil
		}
		return true, h.read(&delivery{Message: m}) // with the dot turned into a slash
	}
}
