package main

import (
	"fmt"

	"plantgate/internal/app"
)

type serveCmd struct {
	configFlag
}

// Run serves until a signal comes.
func (c *serveCmd) Run(e *env) error {
	cfg, log, err := c.load(e)
	if err != nil {
		return err
	}
	a, err := app.Open(e.ctx, cfg, version, log)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, "plantgate", version, "at", a.URL())
	if a.CAFile() != "" {
		fmt.Fprintln(e.stdout, "trust its certificate with:  curl --cacert", a.CAFile())
	}
	return a.Run(e.ctx)
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.stdout, "plantgate", version)
	return err
}
