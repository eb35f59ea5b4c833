package app

import (
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"plantgate/internal/config"
	"plantgate/internal/mqtt/broker"
)

// brokerFolder is where the own broker keeps sessions and retained messages; "" is in
// memory only.
func brokerFolder(cfg config.Config) string {
	p := cfg.MQTT.Broker.Persistence
	switch {
	case !p.Enabled:
		return ""
	case p.Folder != "":
		return p.Folder
	case cfg.Store.IsSQLServer():
		return beside(sharedLogFolder(cfg))
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(cfg.Store.DSN, "sqlite:"), "?")
	return beside(logFolder(strings.TrimPrefix(path, "file:")))
}

// beside turns plantgate.log.d into plantgate.broker.d.
func beside(log string) string {
	return filepath.Join(filepath.Dir(log), strings.TrimSuffix(filepath.Base(log), ".log.d")+".broker.d")
}

var (
	brokerClientsDesc  = desc("mqtt_broker_clients", "Clients that are connected to the own broker.")
	brokerSessionsDesc = desc("mqtt_broker_sessions", "Sessions, persistent or not.", "persistent")
	brokerSubsDesc     = desc("mqtt_broker_subscriptions", "Subscriptions of all sessions.")
	brokerRetainedDesc = desc("mqtt_broker_retained_messages", "Retained messages.")
	brokerRetBytesDesc = desc("mqtt_broker_retained_bytes", "Bytes of retained messages in memory.")
	brokerQueuedDesc   = desc("mqtt_broker_queued_messages", "Messages of QoS 1 and 2 that wait for subscribers or are under way to them.")
	brokerQueBytesDesc = desc("mqtt_broker_queued_bytes", "Bytes that count to max_bytes: messages that wait, of QoS 0 too, once each, and their places in the queues.")
	brokerInflightDesc = desc("mqtt_broker_inflight_messages", "Messages of QoS 1 and 2 that were sent and are not acknowledged.")
	brokerMessagesDesc = desc("mqtt_broker_messages_total", "Publications from clients (in) and to them (out).", "direction")
	brokerBytesDesc    = desc("mqtt_broker_bytes_total", "Bytes of all packets from clients (in) and to them (out).", "direction")
	brokerDroppedDesc  = desc("mqtt_broker_dropped_total", "Messages that did not get to a subscriber, or were not retained, by reason.", "reason")
	brokerDeniedDesc   = desc("mqtt_broker_denied_total", "Publications, subscriptions, wills and connections that were refused, by reason.", "reason")
	brokerAuthDesc     = desc("mqtt_broker_auth_failures_total", "Logins that were refused, by reason.", "reason")
	brokerLostDesc     = desc("mqtt_broker_lost_total", "Messages of QoS 0 and wills that could not be stored.")
	brokerWillsDesc    = desc("mqtt_broker_wills_total", "Wills that were published.")
	brokerUnheardDesc  = desc("mqtt_broker_unheard_total", "Messages that this server published to topics without a subscriber.")
	brokerCommitsDesc  = desc("mqtt_broker_commits_total", "Writes to the log of sessions and retained messages.")
	brokerSecondsDesc  = desc("mqtt_broker_commit_seconds_total", "Time spent in those writes.")
	brokerLogDesc      = desc("mqtt_broker_log_bytes", "Bytes that this log keeps.")
)

// brokerCollector gathers the figures of the own broker.
type brokerCollector struct{ broker *broker.Broker }

// Describe lists what is collected.
func (c *brokerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		brokerClientsDesc, brokerSessionsDesc, brokerSubsDesc, brokerRetainedDesc, brokerRetBytesDesc, brokerQueuedDesc,
		brokerQueBytesDesc, brokerInflightDesc, brokerMessagesDesc, brokerBytesDesc, brokerDroppedDesc, brokerDeniedDesc,
		brokerAuthDesc, brokerLostDesc, brokerWillsDesc, brokerUnheardDesc, brokerCommitsDesc, brokerSecondsDesc, brokerLogDesc,
	} {
		ch <- d
	}
}

// Collect takes the figures.
func (c *brokerCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.broker.Stats()
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	count := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(brokerClientsDesc, s.Clients)
	gauge(brokerSessionsDesc, s.Persistent, "true")
	gauge(brokerSessionsDesc, s.Sessions-s.Persistent, "false")
	gauge(brokerSubsDesc, s.Subscriptions)
	gauge(brokerRetainedDesc, s.Retained)
	gauge(brokerRetBytesDesc, s.RetainedBytes)
	gauge(brokerQueuedDesc, s.Queued)
	gauge(brokerQueBytesDesc, s.QueuedBytes)
	gauge(brokerInflightDesc, s.Inflight)
	count(brokerMessagesDesc, s.MessagesIn, "in")
	count(brokerMessagesDesc, s.MessagesOut, "out")
	count(brokerBytesDesc, s.BytesIn, "in")
	count(brokerBytesDesc, s.BytesOut, "out")
	for reason, n := range s.Dropped {
		count(brokerDroppedDesc, n, reason.String())
	}
	for reason, n := range s.Denied {
		count(brokerDeniedDesc, n, reason)
	}
	for reason, n := range s.AuthFailures {
		count(brokerAuthDesc, n, reason)
	}
	count(brokerLostDesc, s.Lost)
	count(brokerWillsDesc, s.Wills)
	count(brokerUnheardDesc, s.Unheard)
	count(brokerCommitsDesc, s.Commits)
	ch <- prometheus.MustNewConstMetric(brokerSecondsDesc, prometheus.CounterValue, s.CommitTime.Seconds())
	gauge(brokerLogDesc, s.LogBytes)
}
