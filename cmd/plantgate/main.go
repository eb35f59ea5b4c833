// Command plantgate is a REST-first MES integration server: shop-floor data in
// by HTTPS, MQTT and OPC UA, one store, one API for ERP, QMS and PLM systems.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/store"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "dev"

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// cli is the command line.
type cli struct {
	Serve     serveCmd     `cmd:"" help:"Run the server."`
	Demo      demoCmd      `cmd:"" help:"Run the server with a simulated plant, to look at."`
	Migrate   migrateCmd   `cmd:"" help:"Bring the schema of the store up to date, or show where it stands."`
	Keys      keysCmd      `cmd:"" help:"Make, list, withdraw and rotate API keys."`
	Config    configCmd    `cmd:"" help:"Check the configuration, or print an example."`
	Doctor    doctorCmd    `cmd:"" help:"Hold the configuration against store, disk, brokers and OPC UA servers, and say what to do."`
	Passwords passwordsCmd `cmd:"" help:"Hash passwords of the own broker's users."`
	OPCUA     opcuaCmd     `cmd:"" name:"opcua" help:"Look at OPC UA servers."`
	MQTT      mqttCmd      `cmd:"" name:"mqtt" help:"Try how MQTT messages are read."`
	Import    importCmd    `cmd:"" help:"Load data that were there before plantgate."`
	Backup    backupCmd    `cmd:"" help:"Copy the embedded store while it is in use."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// env is what commands are given of the world.
type env struct {
	ctx            context.Context
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	code := run(&env{ctx: ctx, environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(e *env, args []string) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("plantgate"),
		kong.Description("A REST-first MES integration server. All settings: plantgate config example."),
		kong.Vars{"table_before": store.NameBefore},
		kong.Writers(e.stdout, e.stderr), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.UsageOnError())
	if err != nil {
		fmt.Fprintln(e.stderr, "plantgate:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(spelledOut(args))
	switch {
	case exited >= 0: // --help
		return exited
	case err != nil:
		fmt.Fprintln(e.stderr, "plantgate:", err)
		return exitUsage
	}
	return e.exitCode(parsed.Run(e))
}

// spelledOut are the arguments of what people type who look for help.
func spelledOut(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	case args[0] == "--version":
		return []string{"version"}
	}
	return args
}

func (e *env) exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(e.stderr, "plantgate:", mes.WithCauses(err))
	if errors.As(err, new(config.Faults)) || mes.ErrorCode(err) == mes.CodeInvalid {
		return exitUsage
	}
	return exitFailed
}

// configFlag is shared by every command that needs the configuration.
type configFlag struct {
	Config string `help:"Configuration file (YAML)." short:"c" env:"PLANTGATE_CONFIG" placeholder:"FILE"`
}

func (f configFlag) load(e *env) (config.Config, *slog.Logger, error) {
	cfg, unknown, err := config.Load(f.Config, withoutConfigFile(e.environ))
	if err != nil {
		return config.Config{}, nil, err
	}
	log := newLogger(cfg.Log, e.stderr)
	// Libraries that only know the standard logger speak at the level debug.
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(log.Handler(), slog.LevelDebug).Writer())
	for _, name := range unknown {
		log.Warn("environment variable means nothing", "name", name)
	}
	return cfg, log, nil
}

// withoutConfigFile leaves out the variable that names the file itself.
func withoutConfigFile(environ []string) []string {
	var rest []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "PLANTGATE_CONFIG=") {
			rest = append(rest, v)
		}
	}
	return rest
}

func newLogger(cfg config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // checked by config.Validate
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
