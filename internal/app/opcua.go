package app

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"plantgate/internal/bridge"
	"plantgate/internal/config"
	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt/topic"
	"plantgate/internal/opcua"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/trust"
)

// openOPCUA makes a connection, with its bridge if it has one.
func (a *App) openOPCUA(c config.OPCUAConnection, to ingest.Ingester) (adapter, error) {
	b, err := a.openBridge(c)
	if err != nil {
		return nil, err
	}
	if b != nil {
		to = b.Ingester(to)
	}
	ad, err := opcua.New(c, opcua.Deps{
		Ingester: to, Cursors: a.storage.storeOf(), Retention: a.cfg.Data.Retention, Notebook: a.storage.storeOf(), Audit: a.storage.storeOf(),
		Judge: judgeOf(a.cfg, a.certificates()), Logger: a.log, SiteID: a.cfg.Site.ID, Folder: a.cfg.Server.TLS.Folder,
	})
	if err != nil || b == nil {
		return ad, err
	}
	return bridged{ad, b}, nil
}

// judgeOf decides which OPC UA servers are trusted.
func judgeOf(cfg config.Config, r *trust.Registry) *trust.Judge {
	folder := cfg.OPCUA.TrustFolder
	if folder == "" {
		folder = filepath.Join(cfg.Server.TLS.Folder, "opcua")
	}
	return &trust.Judge{Folder: folder, Registry: r, Now: time.Now}
}

// OPCUALink is what a session with a server of the configuration needs beside the running
// program: it trusts what the trust folder has, and what was approved.
func OPCUALink(cfg config.Config) link.Deps {
	return link.Deps{Folder: cfg.Server.TLS.Folder, Judge: judgeOf(cfg, nil), Now: time.Now}
}

// certificates are those of OPC UA servers of which somebody has to decide.
func (a *App) certificates() *trust.Registry {
	return trust.NewRegistry(a.storage.storeOf(), time.Now)
}

// openBridge returns nil if the connection has none.
func (a *App) openBridge(c config.OPCUAConnection) (*bridge.Bridge, error) {
	if !c.Bridge.Enabled() {
		return nil, nil
	}
	queue := a.queueOf(bridgeTarget(c.Bridge))
	s := bridge.Settings{
		Connection: c.Name, Target: queue.Target(),
		QoS: byte(*c.Bridge.QoS), Retained: c.Bridge.Retained, MaxAge: c.Bridge.MaxAge, MaxWaiting: c.Bridge.MaxWaiting,
		Variables: bridge.VariablesOf(c, a.cfg.Site.ID),
	}
	var err error
	if s.Snapshot, err = bridgeTopic(c.Bridge.SnapshotTopic); err != nil {
		return nil, fmt.Errorf("bridge.snapshot_topic: %w", err)
	}
	if s.Variable, err = bridgeTopic(c.Bridge.VariableTopic); err != nil {
		return nil, fmt.Errorf("bridge.variable_topic: %w", err)
	}
	return bridge.New(s, bridge.Deps{Store: a.storage.storeOf(), Queue: queue, Now: time.Now, Logger: a.log})
}

// bridgeTopic is nil for none.
func bridgeTopic(text string) (bridge.Topic, error) {
	if text == "" {
		return nil, nil
	}
	template, err := topic.ParseTemplate(text)
	return func(siteID, machineID string) (string, error) { return template.Topic(siteID, machineID, "") }, err
}

func bridgeTarget(b config.OPCUABridge) string {
	if b.Connection == config.BridgeByBroker {
		return ownBrokerTarget
	}
	return connectionName(mes.DoorMQTT, b.Connection)
}

// bridged is a connection whose values are published too.
type bridged struct {
	*opcua.Adapter
	bridge *bridge.Bridge
}

// Run implements adapter. The bridge goes on until everything that came is stored.
func (b bridged) Run(ctx context.Context) error {
	publishing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var sending sync.WaitGroup
	sending.Go(func() { b.bridge.Run(publishing) })
	err := b.Adapter.Run(ctx)
	stop()
	sending.Wait()
	return err
}
