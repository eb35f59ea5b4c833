package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"plantgate/internal/mes"
)

// flowDescs are the figures of what comes by a connection, or by one of its bindings. A
// binding's label is its configured topic filter, never a topic, so that configuration
// bounds how many there are.
type flowDescs struct{ received, quarantined, rate, inHand, last, lag *prometheus.Desc }

func newFlowDescs(subject, of string, labels ...string) flowDescs {
	return flowDescs{
		received:    desc(subject+"_received_total", "Messages received"+of+".", labels...),
		quarantined: desc(subject+"_quarantined_total", "Messages that went to quarantine"+of+".", labels...),
		rate:        desc(subject+"_messages_per_second", "Messages a second over the last minute"+of+".", labels...),
		inHand:      desc(subject+"_in_hand", "Messages received, neither stored nor acknowledged"+of+".", labels...),
		last:        desc(subject+"_last_message_timestamp_seconds", "When the newest message came"+of+".", labels...),
		lag:         desc(subject+"_lag_seconds", "From the time of the source to the commit of a record"+of+".", labels...),
	}
}

func (d flowDescs) describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{d.received, d.quarantined, d.rate, d.inHand, d.last, d.lag} {
		ch <- desc
	}
}

func (d flowDescs) collect(ch chan<- prometheus.Metric, f mes.Flow, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d.received, prometheus.CounterValue, float64(f.Received), labels...)
	ch <- prometheus.MustNewConstMetric(d.quarantined, prometheus.CounterValue, float64(f.Quarantined), labels...)
	ch <- prometheus.MustNewConstMetric(d.rate, prometheus.GaugeValue, f.Rate, labels...)
	ch <- prometheus.MustNewConstMetric(d.inHand, prometheus.GaugeValue, float64(f.InHand), labels...)
	if !f.LastMessage.IsZero() {
		ch <- prometheus.MustNewConstMetric(d.last, prometheus.GaugeValue, seconds(f.LastMessage), labels...)
	}
	buckets := make(map[float64]uint64)
	for i, bound := range mes.LagBounds() {
		buckets[bound] = 0
		if i < len(f.Lag.Buckets) {
			buckets[bound] = uint64(f.Lag.Buckets[i])
		}
	}
	ch <- prometheus.MustNewConstHistogram(d.lag, uint64(f.Lag.Count), f.Lag.Sum, buckets, labels...)
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

var (
	connectionDescs = newFlowDescs("connection", "", "door", "connection")
	bindingDescs    = newFlowDescs("binding", " by a subscription", "door", "connection", "binding")

	stateDesc        = desc("connection_state", "1 for the state that the connection is in.", "door", "connection", "state")
	sinceDesc        = desc("connection_state_since_timestamp_seconds", "When that state began.", "door", "connection")
	reconnectsDesc   = desc("connection_reconnects_total", "Connections built anew.", "door", "connection")
	repeatedDesc     = desc("connection_repeated_total", "Messages that came again and were known, or retained and no news.", "door", "connection")
	doubtfulDesc     = desc("connection_doubtful_total", "Messages that may have come before and are stored.", "door", "connection")
	lostSessionsDesc = desc("connection_sessions_lost_total", "Connects at which the broker had lost the session.", "door", "connection")
	gapsOpenDesc     = desc("connection_gaps_open", "Nodes of which values may be missing that are still looked for.", "door", "connection")
	backfilledDesc   = desc("connection_backfilled_total", "Values that were found in a server's history.", "door", "connection")
	gapsDesc         = desc("connection_gaps_total", "Records that say that values may be lost.", "door", "connection")
	certificateDesc  = desc("connection_certificate_not_after_timestamp_seconds", "Until when a certificate of the connection is valid: the client's, its user's or the server's.", "door", "connection", "certificate")
	sessionsDesc     = desc("connection_sessions", "Sessions by which an OPC UA server is read.", "door", "connection")
	sessionsUpDesc   = desc("connection_sessions_up", "Those of them that bring values.", "door", "connection")
	nodesDesc        = desc("connection_nodes", "Nodes that are read of an OPC UA server.", "door", "connection")
	nodesBadDesc     = desc("connection_nodes_bad", "Nodes that the server refuses, or does not have.", "door", "connection")
	bindingStateDesc = desc("binding_state", "1 for the state that the subscription is in.", "door", "connection", "binding", "state")
	bindingSinceDesc = desc("binding_state_since_timestamp_seconds", "When that state began.", "door", "connection", "binding")
)

type adapterCollector struct{ statuses func() []mes.AdapterStatus }

func (c *adapterCollector) Describe(ch chan<- *prometheus.Desc) {
	connectionDescs.describe(ch)
	bindingDescs.describe(ch)
	for _, d := range []*prometheus.Desc{
		stateDesc, sinceDesc, reconnectsDesc, repeatedDesc, doubtfulDesc, lostSessionsDesc, gapsOpenDesc, backfilledDesc, gapsDesc, certificateDesc,
		sessionsDesc, sessionsUpDesc, nodesDesc, nodesBadDesc,
		bindingStateDesc, bindingSinceDesc,
	} {
		ch <- d
	}
}

func (c *adapterCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.statuses() {
		door := string(s.Door)
		ch <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, 1, door, s.Name, string(s.State))
		ch <- prometheus.MustNewConstMetric(sinceDesc, prometheus.GaugeValue, seconds(s.Since), door, s.Name)
		connectionDescs.collect(ch, s.Flow, door, s.Name)
		ch <- prometheus.MustNewConstMetric(gapsOpenDesc, prometheus.GaugeValue, float64(s.GapsOpen), door, s.Name)
		for d, n := range map[*prometheus.Desc]int64{
			reconnectsDesc: s.Reconnects, repeatedDesc: s.Repeated, doubtfulDesc: s.Doubtful, lostSessionsDesc: s.SessionsLost,
			backfilledDesc: s.Backfilled, gapsDesc: s.Gaps,
		} {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), door, s.Name)
		}
		for d, n := range map[*prometheus.Desc]int{sessionsDesc: s.Sessions, sessionsUpDesc: s.SessionsUp, nodesDesc: s.Nodes, nodesBadDesc: s.NodesBad} {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), door, s.Name)
		}
		for _, e := range s.Certificates {
			ch <- prometheus.MustNewConstMetric(certificateDesc, prometheus.GaugeValue, seconds(e.NotAfter), door, s.Name, string(e.Use))
		}
		for _, b := range s.Bindings {
			ch <- prometheus.MustNewConstMetric(bindingStateDesc, prometheus.GaugeValue, 1, door, s.Name, b.Name, string(b.State))
			ch <- prometheus.MustNewConstMetric(bindingSinceDesc, prometheus.GaugeValue, seconds(b.Since), door, s.Name, b.Name)
			bindingDescs.collect(ch, b.Flow, door, s.Name, b.Name)
		}
	}
}
