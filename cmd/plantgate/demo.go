package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"plantgate/internal/app"
	"plantgate/internal/demo"
	"plantgate/internal/opcua/sim"
)

type demoCmd struct {
	configFlag
	Folder string `help:"Where the demo keeps its data." default:"data/demo" placeholder:"FOLDER"`
	OPCUA  string `name:"opcua-listen" help:"Address of the simulated OPC UA server." default:"127.0.0.1:55000" placeholder:"ADDRESS"`
}

// Run serves a simulated plant until a signal comes.
func (c *demoCmd) Run(e *env) error {
	cfg, log, err := c.load(e)
	if err != nil {
		return err
	}
	secrets, err := demo.OpenSecrets(c.Folder)
	if err != nil {
		return err
	}
	if cfg.Auth.BootstrapKey != "" {
		secrets.APIKey = cfg.Auth.BootstrapKey
	}
	machines, err := sim.Start(e.ctx, demo.Free(c.OPCUA))
	if err != nil {
		return fmt.Errorf("simulated OPC UA server: %w", err)
	}
	defer machines.Close()
	a, err := app.Open(e.ctx, demo.Configure(cfg, c.Folder, machines.URL(), secrets), version, log)
	if used := new(app.InUseError); errors.As(err, &used) {
		used.What, used.Setting = "the folder "+c.Folder, "--folder"
	}
	if err != nil {
		return e.startError(err, log)
	}
	fmt.Fprint(e.stdout, demo.Welcome(a.URL(), a.CAFile(), a.BrokerURL(), machines.URL(), secrets))

	plant := &demo.Plant{URL: a.URL(), CAFile: a.CAFile(), BrokerURL: a.BrokerURL(), Secrets: secrets, Log: log}
	ctx, stop := context.WithCancel(e.ctx)
	defer stop()
	var simulation sync.WaitGroup
	var failed error
	simulation.Go(func() { failed = plant.Run(ctx) })
	err = a.Run(e.ctx)
	stop()
	simulation.Wait()
	return errors.Join(err, failed)
}
