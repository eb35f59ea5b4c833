package main

import (
	"fmt"
	"strings"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/mes"
	"plantgate/internal/mesdata"
)

type importCmd struct {
	MESData mesDataCmd `cmd:"" name:"mes-data" help:"Load the rows of a table MES_Data (DataType, Payload) that was there before plantgate. It can be interrupted and run again: nothing is stored twice."`
}

type mesDataCmd struct {
	configFlag
	Table      string `help:"Table to load; that which migrate up renamed if left out." default:"${table_before}" placeholder:"NAME"`
	TimeColumn string `help:"Column with the time of rows whose payload has none; Timestamp, ReceivedAt or CreatedAt if left out." placeholder:"NAME"`
	TimeIs     string `help:"Whose time that is: source (the machine's) or receipt (when the row was written); receipt if left out, unless the column is called Timestamp." enum:",source,receipt" default:"" placeholder:"ORIGIN"`
	TimeZone   string `help:"Time zone of times without an offset, such as Europe/Berlin; that of the site if left out." placeholder:"ZONE"`
	DryRun     bool   `help:"Say what would happen, and store nothing."`
}

// Run loads the table.
func (c *mesDataCmd) Run(e *env) error {
	cfg, log, err := c.load(e)
	if err != nil {
		return err
	}
	o := app.MESDataOptions{
		Table: c.Table, TimeColumn: c.TimeColumn, TimeOrigin: mes.TimeOrigin(c.TimeIs), DryRun: c.DryRun,
		Begin: e.beginImport,
		Progress: func(s mesdata.Summary) {
			fmt.Fprintln(e.stderr, importLine(s))
		},
	}
	if c.TimeZone != "" {
		if o.Zone, err = time.LoadLocation(c.TimeZone); err != nil || o.Zone == time.Local {
			return mes.Errorf(mes.CodeInvalid, "--time-zone must be an IANA time zone such as Europe/Berlin, not %q", c.TimeZone)
		}
	}
	done, err := app.ImportMESData(e.ctx, cfg, log, o)
	if err == nil || done.Read > 0 {
		e.showImport(done, c.DryRun)
	}
	return err
}

// beginImport says on stderr what will be read, so that a wrong guess is seen early.
func (e *env) beginImport(l mesdata.Layout, origin mes.TimeOrigin) {
	parts := []string{"key " + orNone(l.Key), "time " + orNone(l.Time), "machine " + orNone(l.MachineID)}
	if l.Time != "" {
		parts[1] += " (" + string(origin) + ")"
	}
	if l.SiteID != "" {
		parts = append(parts, "site "+l.SiteID)
	}
	fmt.Fprintf(e.stderr, "reading %s: %s\n", l.Table, strings.Join(parts, ", "))
}

func orNone(column string) string {
	if column == "" {
		return "none"
	}
	return column
}

func importLine(s mesdata.Summary) string {
	return fmt.Sprintf("%s read: %d created, %s, %d quarantined, %d in quarantine before",
		mes.Counted(s.Read, "row"), s.Created, mes.Counted(s.Duplicates, "duplicate"), s.Quarantined, s.Known)
}

func (e *env) showImport(s mesdata.Summary, dryRun bool) {
	if dryRun {
		fmt.Fprintln(e.stdout, "dry run, nothing was stored; rows that are equal to another count as duplicates only near it")
	}
	fmt.Fprintln(e.stdout, importLine(s))
}
