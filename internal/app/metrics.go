package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"plantgate/api"
	"plantgate/internal/apply"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// newRegistry gathers the figures of the process, of ingest and of the
// connections to the floor. The HTTP interface adds its own.
func newRegistry(service *ingest.Service, storage prometheus.Collector, statuses func() []mes.AdapterStatus) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&ingestCollector{service}, storage, &adapterCollector{statuses},
	)
	return r
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("plantgate_"+name, help, labels, nil)
}

var (
	recordsDesc = desc("ingest_records_total", "Records by outcome; refused are those that found the queue full.", "outcome")
	groupsDesc  = desc("ingest_commits_total", "Commits of the writer.")
	batchesDesc = desc("ingest_batches_total", "Batches in those commits.")
	secondsDesc = desc("ingest_commit_seconds_total", "Time spent in commits.")
	waitingDesc = desc("ingest_waiting_records", "Records that wait for the writer.")

	stepsDesc     = desc("apply_steps_total", "Steps in which records were taken over from the log.")
	appliedDesc   = desc("apply_records_total", "Records that were taken over from the log.")
	applyTimeDesc = desc("apply_seconds_total", "Time spent in those steps.")
	lagDesc       = desc("apply_lag_records", "Records that are in the log and not taken over yet.")
	refusedDesc   = desc("apply_refused_total", "Attempts to take over records that the database did not take; the log keeps them.", "reason")
	oldestDesc    = desc("apply_oldest_seconds", "Age of the oldest record that the database did not take at the last attempt; 0 if it took everything.")
	leasesDesc    = desc("lanes_held", "Lanes of machines that this server follows.")
	logBytesDesc  = desc("log_bytes", "Bytes that the log keeps.")
)

type ingestCollector struct{ service *ingest.Service }

func (c *ingestCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{recordsDesc, groupsDesc, batchesDesc, secondsDesc, waitingDesc} {
		ch <- d
	}
}

func (c *ingestCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.service.Stats()
	for outcome, n := range map[string]int64{
		"created": s.Created, "duplicate": s.Duplicates, "accepted": s.Accepted, "quarantined": s.Quarantined, "rejected": s.Rejected, "refused": s.Refused,
	} {
		ch <- prometheus.MustNewConstMetric(recordsDesc, prometheus.CounterValue, float64(n), outcome)
	}
	ch <- prometheus.MustNewConstMetric(groupsDesc, prometheus.CounterValue, float64(s.Groups))
	ch <- prometheus.MustNewConstMetric(batchesDesc, prometheus.CounterValue, float64(s.Batches))
	ch <- prometheus.MustNewConstMetric(secondsDesc, prometheus.CounterValue, s.CommitTime.Seconds())
	ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(s.Waiting))
}

type storageCollector struct{ storage *Storage }

func (c *storageCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{stepsDesc, appliedDesc, applyTimeDesc, lagDesc, logBytesDesc, refusedDesc, oldestDesc} {
		ch <- d
	}
}

func (c *storageCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.storage.Runner.Stats()
	ch <- prometheus.MustNewConstMetric(stepsDesc, prometheus.CounterValue, float64(s.Steps))
	ch <- prometheus.MustNewConstMetric(appliedDesc, prometheus.CounterValue, float64(s.Records))
	ch <- prometheus.MustNewConstMetric(applyTimeDesc, prometheus.CounterValue, s.Time.Seconds())
	ch <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, float64(s.Pending))
	ch <- prometheus.MustNewConstMetric(logBytesDesc, prometheus.GaugeValue, float64(c.storage.LogSize()))
	collectHeld(ch, s)
}

// collectHeld tells of a log that the database does not take.
func collectHeld(ch chan<- prometheus.Metric, s apply.Stats) {
	for reason, n := range s.Refused {
		ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(n), string(reason))
	}
	age := 0.0
	if !s.Held.Oldest.IsZero() {
		age = max(0, time.Since(s.Held.Oldest).Seconds())
	}
	ch <- prometheus.MustNewConstMetric(oldestDesc, prometheus.GaugeValue, age)
}

type sharedCollector struct{ shared *Shared }

func (c *sharedCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- stepsDesc
	ch <- appliedDesc
	ch <- leasesDesc
	ch <- lagDesc
	ch <- logBytesDesc
	ch <- refusedDesc
	ch <- oldestDesc
}

func (c *sharedCollector) Collect(ch chan<- prometheus.Metric) {
	steps, records := c.shared.follower.Stats()
	ch <- prometheus.MustNewConstMetric(stepsDesc, prometheus.CounterValue, float64(steps))
	ch <- prometheus.MustNewConstMetric(appliedDesc, prometheus.CounterValue, float64(records))
	held, _ := c.shared.lanes.Held()
	ch <- prometheus.MustNewConstMetric(leasesDesc, prometheus.GaugeValue, float64(len(held)))
	if c.shared.spool != nil {
		waiting, _ := c.shared.spool.Backlog()
		ch <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, float64(waiting))
		ch <- prometheus.MustNewConstMetric(logBytesDesc, prometheus.GaugeValue, float64(c.shared.spool.log.Size()))
		collectHeld(ch, c.shared.spool.runner.Stats())
	}
}

// metricsServer answers /metrics without a key, usually on loopback only.
type metricsServer struct {
	listener net.Listener
	http     *http.Server
}

func openMetrics(address string, registry *prometheus.Registry) (*metricsServer, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics.listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", api.MetricsHandler(registry))
	return &metricsServer{listener: l, http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}}, nil
}

func (m *metricsServer) run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- m.http.Serve(m.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("metrics listener: %w", err)
	case <-ctx.Done():
	}
	err := m.http.Close()
	<-served
	return err
}
