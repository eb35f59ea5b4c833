package main

import (
	"fmt"

	"plantgate/internal/config"
	"plantgate/internal/mes"
)

type configCmd struct {
	Check   configCheckCmd   `cmd:"" help:"Read the configuration and name every fault."`
	Example configExampleCmd `cmd:"" help:"Print a configuration in which every key is explained."`
}

type configCheckCmd struct {
	configFlag
}

// Run checks the configuration.
func (c *configCheckCmd) Run(e *env) error {
	cfg, _, err := c.load(e)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings() {
		fmt.Fprintf(e.stderr, "warning: %s: %s\n", w.Key, w.Detail)
	}
	_, err = fmt.Fprintf(e.stdout, "the configuration is right: %s, %s, own broker %s, store %s\n",
		mes.Counted(len(cfg.MQTT.Connections), "MQTT connection"), mes.Counted(len(cfg.OPCUA.Connections), "OPC UA connection"), onOff(cfg.MQTT.Broker.Enabled), cfg.Store.RedactedDSN())
	return err
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

type configExampleCmd struct{}

// Run prints the example.
func (configExampleCmd) Run(e *env) error {
	_, err := e.stdout.Write(config.Example)
	return err
}
