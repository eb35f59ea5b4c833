package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/store"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Make every step that is missing."`
	Status migrateStatusCmd `cmd:"" help:"List the steps and when they were made."`
	Down   migrateDownCmd   `cmd:"" help:"Take the newest step back; what it holds is lost."`
}

// openStore opens the configured store as it is. Where mustExist is set it makes
// none: a mistyped path must not look like an empty store.
func (f configFlag) openStore(e *env, mustExist bool) (*store.Store, error) {
	cfg, _, err := f.load(e)
	if err != nil {
		return nil, err
	}
	return openStore(e, cfg, mustExist)
}

func openStore(e *env, cfg config.Config, mustExist bool) (*store.Store, error) {
	return app.OpenStore(e.ctx, cfg, mustExist)
}

// setAside tells of a table that had the name of the view for reports.
const setAside = "the table " + store.ReportView + " is called " + store.NameBefore + " now; load it with: plantgate import mes-data"

type migrateUpCmd struct {
	configFlag
}

// Run brings the schema up to date.
func (c *migrateUpCmd) Run(e *env) error {
	s, err := c.openStore(e, false)
	if err != nil {
		return err
	}
	defer s.Close()
	done, err := s.MigrateUp(e.ctx)
	if done.SetAside {
		fmt.Fprintln(e.stdout, setAside)
	}
	for _, m := range done.Steps {
		fmt.Fprintf(e.stdout, "%05d  %s\n", m.Version, m.Name)
	}
	if err != nil {
		return err
	}
	if n := len(done.Compression.Indexes); n > 0 {
		fmt.Fprintf(e.stdout, "compressed: %s\n", strings.Join(done.Compression.Indexes, ", "))
	}
	if done.Compression.Left != "" {
		fmt.Fprintln(e.stdout, done.Compression.Left)
	}
	fmt.Fprintln(e.stdout, "the schema is up to date")
	return nil
}

type migrateDownCmd struct {
	configFlag
	Yes bool `help:"Do it, although data are lost."`
}

// Run takes one step of the schema back.
func (c *migrateDownCmd) Run(e *env) error {
	if !c.Yes {
		return mes.Errorf(mes.CodeInvalid, "what the newest step holds would be lost, records too: stop every server, make a copy, and say --yes")
	}
	s, err := c.openStore(e, true)
	if err != nil {
		return err
	}
	defer s.Close()
	undone, err := s.MigrateDown(e.ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "taken back: %05d  %s\n", undone.Version, undone.Name)
	return err
}

type migrateStatusCmd struct {
	configFlag
}

// Run lists the steps of the schema.
func (c *migrateStatusCmd) Run(e *env) error {
	s, err := c.openStore(e, true)
	if err != nil {
		return err
	}
	defer s.Close()
	steps, err := s.MigrationStatus(e.ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, m := range steps {
		applied := "missing; run: plantgate migrate up"
		if !m.AppliedAt.IsZero() {
			applied = m.AppliedAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%05d\t%s\t%s\n", m.Version, m.Name, applied)
	}
	return w.Flush()
}

type backupCmd struct {
	configFlag
	To string `arg:"" help:"File to write; it must not exist." placeholder:"FILE"`
}

// Run copies the store.
func (c *backupCmd) Run(e *env) error {
	cfg, _, err := c.load(e)
	if err != nil {
		return err
	}
	s, err := openStore(e, cfg, true)
	if err != nil {
		return err
	}
	defer s.Close()
	// The copy of an empty store would only be found out on the day that it is
	// needed.
	version, _, err := s.SchemaVersion(e.ctx)
	if err != nil {
		return err
	}
	if version == 0 {
		return mes.Errorf(mes.CodePrecondition, "the store is new and empty: is store.dsn right?")
	}
	if err := app.Backup(e.ctx, s, c.To, app.StorageOptions{LogFolder: cfg.Store.Log.Folder, DedupeWindow: cfg.Data.DedupeWindow}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.stdout, "copied to", c.To)
	return err
}
