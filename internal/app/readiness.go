package app

import (
	"plantgate/api"
	"plantgate/internal/config"
	"plantgate/internal/mes"
)

// readiness is the configured policy for GET /readyz.
func readiness(cfg config.Config) api.ReadinessPolicy {
	p := api.ReadinessPolicy{
		Ignore:   cfg.Readiness.Adapters == config.ReadinessIgnore,
		Fail:     cfg.Readiness.Adapters == config.ReadinessFail,
		Required: make(map[api.AdapterKey]bool),
	}
	for _, c := range cfg.MQTT.Connections {
		p.Required[api.AdapterKey{Door: mes.DoorMQTT, Name: c.Name}] = c.Required
	}
	for _, c := range cfg.OPCUA.Connections {
		p.Required[api.AdapterKey{Door: mes.DoorOPCUA, Name: c.Name}] = c.Required
	}
	return p
}
