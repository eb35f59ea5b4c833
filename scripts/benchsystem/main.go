// Command benchsystem measures plantgate as a whole, as a process of its own over
// HTTPS and MQTT on loopback, against what the machine can do: the syncs of its
// disk, a plain journal, and a server of the same framework that stores nothing.
// Everything is measured in one run, in rounds that take turns, since figures of
// two machines, or of two days, do not compare; ratios do.
//
//	go run ./scripts/benchsystem [-short] [-scenarios …] [-format …]
//
// Figures are not asserted: it exits with 0 whatever they are, and with 1 where
// something is broken, such as a wrong answer or a lost record.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == echoCommand {
		exit(echoMain(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		err = nil
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchsystem:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// errBroken is the end of a run that found what must not be.
var errBroken = errors.New("something is broken, see the report")

// run measures and prints the report to out, progress to log.
func run(ctx context.Context, args []string, out, log io.Writer) error {
	o, err := parseOptions(args, log)
	if err != nil {
		return err
	}
	b := &bench{options: o, report: &report{}, log: log}
	err = b.run(ctx)
	err = errors.Join(err, b.report.write(out, o.format))
	if err == nil && len(b.report.broken) > 0 {
		err = errBroken
	}
	return err
}
