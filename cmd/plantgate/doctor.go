package main

import (
	"fmt"

	"plantgate/internal/app"
	"plantgate/internal/doctor"
	"plantgate/internal/mes"
)

type doctorCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print the findings as JSON."`
}

// Run holds the configuration against the world.
func (c *doctorCmd) Run(e *env) error {
	cfg, _, err := c.load(e)
	if err != nil {
		return err
	}
	report := app.Examine(e.ctx, cfg)
	write := report.WriteText
	if c.JSON {
		write = report.WriteJSON
	}
	if err := write(e.stdout); err != nil {
		return err
	}
	if n := report.Count(doctor.Fault); n > 0 {
		return fmt.Errorf("%s failed", mes.Counted(n, "check"))
	}
	return nil
}
