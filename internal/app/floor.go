package app

import (
	"fmt"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/lease"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/broker"
)

// openFloor prepares the own broker and every connection. The broker listens
// from here on; its publishers wait until Run commits.
func (a *App) openFloor() error {
	for _, c := range a.cfg.MQTT.Connections {
		keeper, deal := a.storage.connections(), (*lease.Keeper)(nil)
		if c.SharedGroup != "" { // every server has a part of the messages, and one publishes
			c.ClientID += "-" + a.cfg.Store.ServerName()
			keeper, deal = nil, keeper
		}
		err := a.connect(mes.DoorMQTT, c.Name, keeper, func(ingester ingest.Ingester, owner *mes.Ownership) (adapter, error) {
			return a.openMQTT(c, mqtt.Deps{Ingester: ingester, Decoder: a.decoder, Deliveries: a.storage.deliveries(), Births: a.storage, Log: a.log}, owner, deal)
		})
		if err != nil {
			return fmt.Errorf("MQTT connection %s: %w", c.Name, err)
		}
	}
	for _, c := range a.cfg.OPCUA.Connections {
		err := a.connect(mes.DoorOPCUA, c.Name, a.storage.connections(), func(ingester ingest.Ingester, _ *mes.Ownership) (adapter, error) {
			return a.openOPCUA(c, ingester)
		})
		if err != nil {
			return fmt.Errorf("OPC UA connection %s: %w", c.Name, err)
		}
	}
	if !a.cfg.MQTT.Broker.Enabled {
		return nil
	}
	var err error
	a.broker, err = broker.Start(a.cfg.MQTT.Broker, broker.Deps{
		Ingester: a.commands.Replies(a.ingest.Patient()), Decoder: a.decoder, Log: a.log, Folder: brokerFolder(a.cfg),
	})
	return err
}

// connect adds a connection: one that is always this server's, or one that keeper says
// when it is. A connection that can't be configured fails here in either case.
func (a *App) connect(door mes.Door, name string, keeper *lease.Keeper, open func(ingest.Ingester, *mes.Ownership) (adapter, error)) error {
	ad, err := open(a.ingest.Patient(), nil)
	if err == nil && keeper != nil {
		ad = &ownedConnection{door: door, name: name, keeper: keeper, ingester: a.ingest.Patient(), open: open, pause: betweenOpenings, log: a.log, since: time.Now()}
	}
	a.adapters = append(a.adapters, ad)
	return err
}
