package main

import (
	"fmt"
	"log/slog"

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
	for _, w := range cfg.Warnings() {
		log.Warn("the configuration can be bettered", "key", w.Key, "detail", w.Detail)
	}
	a, err := app.Open(e.ctx, cfg, version, log)
	if err != nil {
		return e.startError(err, log)
	}
	fmt.Fprintln(e.stdout, "plantgate", version, "at", a.URL())
	if a.CAFile() != "" {
		fmt.Fprintln(e.stdout, "trust its certificate with:  curl --cacert", a.CAFile())
	}
	return a.Run(e.ctx)
}

// startError makes a start that a signal cut short a clean stop.
func (e *env) startError(err error, log *slog.Logger) error {
	if e.ctx.Err() == nil {
		return err
	}
	log.Info("plantgate stopped before it served", "error", err)
	return nil
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.stdout, "plantgate", version)
	return err
}
