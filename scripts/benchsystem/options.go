package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The scenarios, in the order in which they run.
const (
	scenarioIdle    = "idle"
	scenarioSingle  = "single"
	scenarioOpen    = "open"
	scenarioBatch   = "batch"
	scenarioRestart = "restart"
	scenarioMQTT    = "mqtt"
)

var scenarios = []string{scenarioIdle, scenarioSingle, scenarioOpen, scenarioBatch, scenarioRestart, scenarioMQTT}

// options are what the flags say.
type options struct {
	scenarios []string
	format    string
	binary    string
	folder    string
	short     bool

	rounds  int
	seconds time.Duration
	clients []int
	rates   []int
	preload int

	machines     int
	batch        int
	batchClients int
	sustain      time.Duration
	burst        time.Duration
	idle         time.Duration

	brokers      []string
	mqttWindows  []int
	mqttMessages int
	mqttRounds   int
}

// defaults are the settings of a full run, or of a short one, which proves that
// everything works and whose figures mean little.
func defaults(short bool) options {
	o := options{
		scenarios: scenarios, format: formatAll, short: short,
		rounds: 5, seconds: 12 * time.Second, clients: []int{64, 256}, rates: []int{2000}, preload: 1_000_000,
		machines: 1000, batch: 1000, batchClients: 4, sustain: 30 * time.Second, burst: 10 * time.Second, idle: 3 * time.Second,
		brokers: []string{"mosquitto", "rabbitmq"}, mqttWindows: []int{0}, mqttMessages: 50_000, mqttRounds: 3,
	}
	if short {
		o.rounds, o.seconds, o.preload = 2, time.Second, 20_000
		o.sustain, o.burst, o.idle = 3*time.Second, time.Second, time.Second
		o.mqttMessages, o.mqttRounds = 5000, 1
	}
	return o
}

// parseOptions reads the command line; faults and help go to w.
func parseOptions(args []string, w io.Writer) (options, error) {
	short := slices.ContainsFunc(args, func(a string) bool { return a == "-short" || a == "--short" })
	o := defaults(short)
	f := flag.NewFlagSet("benchsystem", flag.ContinueOnError)
	f.SetOutput(w)
	f.BoolVar(&o.short, "short", short, "a run of about a minute, which shows that everything works")
	list(f, &o.scenarios, "scenarios", "what to run, of "+strings.Join(scenarios, ","), text(scenarios))
	f.StringVar(&o.format, "format", o.format, "what to print: "+strings.Join(formats, ", ")+" (all is JSON lines, then the table)")
	f.StringVar(&o.binary, "binary", o.binary, "a plantgate that is built already")
	f.StringVar(&o.folder, "folder", o.folder, "where the data go, in a folder that is removed (default: the folder for temporary files)")
	f.IntVar(&o.rounds, "rounds", o.rounds, "interleaved rounds of single posts")
	f.DurationVar(&o.seconds, "length", o.seconds, "length of a round")
	list(f, &o.clients, "clients", "clients of the closed loop, and writers of the journal", positive)
	list(f, &o.rates, "rates", "requests a second of the open loop, besides half of what is measured", positive)
	f.IntVar(&o.preload, "preload", o.preload, "records that are stored before anything is measured")
	f.IntVar(&o.machines, "machines", o.machines, "machines that data come from, at most 10000")
	f.IntVar(&o.batch, "batch", o.batch, "records of a batch")
	f.IntVar(&o.batchClients, "batch-clients", o.batchClients, "clients that send batches")
	f.DurationVar(&o.sustain, "sustain", o.sustain, "length of the load of batches")
	f.DurationVar(&o.burst, "burst", o.burst, "length of the burst at three times its rate")
	f.DurationVar(&o.idle, "idle", o.idle, "wait before the memory of the idle server is read")
	list(f, &o.brokers, "brokers", "brokers to test, where they are installed", text(defaults(false).brokers))
	list(f, &o.mqttWindows, "mqtt-windows", "messages that travel ahead of acknowledgements; 0 is the broker's own number", window)
	f.IntVar(&o.mqttMessages, "mqtt-messages", o.mqttMessages, "messages that wait at the broker")
	f.IntVar(&o.mqttRounds, "mqtt-rounds", o.mqttRounds, "interleaved rounds of MQTT")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if err := o.validate(f.Args()); err != nil {
		fmt.Fprintln(w, "benchsystem:", err)
		return o, err
	}
	return o, nil
}

func (o options) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected %q", rest[0])
	case !slices.Contains(formats, o.format):
		return fmt.Errorf("-format is one of %s", strings.Join(formats, ", "))
	case o.machines < 1 || o.machines > 10_000:
		return fmt.Errorf("-machines is 1 to 10000")
	case slices.Max(append([]int{o.batchClients}, o.clients...)) > o.machines:
		return fmt.Errorf("-machines must not be fewer than clients: each has its own")
	case min(o.rounds, o.mqttRounds, o.batch, o.batchClients, o.mqttMessages) < 1 || o.batch < 2 || o.preload < 0:
		return fmt.Errorf("rounds, clients and records must be positive, and a batch has two or more")
	case min(o.seconds, o.sustain, o.burst) < 100*time.Millisecond:
		return fmt.Errorf("lengths are 100ms or more")
	}
	return nil
}

func (o options) runs(scenario string) bool { return slices.Contains(o.scenarios, scenario) }

// list is a flag of values with commas between them.
func list[T any](f *flag.FlagSet, to *[]T, name, usage string, parse func(string) (T, error)) {
	f.Func(name, fmt.Sprintf("%s (default %s)", usage, strings.ReplaceAll(strings.Trim(fmt.Sprint(*to), "[]"), " ", ",")), func(all string) error {
		*to = nil
		for one := range strings.SplitSeq(all, ",") {
			v, err := parse(strings.TrimSpace(one))
			if err != nil {
				return err
			}
			*to = append(*to, v)
		}
		return nil
	})
}

func positive(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no positive number", s)
	}
	return n, nil
}

func window(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no number from 0 to 65535", s)
	}
	return int(n), nil
}

// text takes one of the names.
func text(names []string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(names, s) {
			return "", fmt.Errorf("%q is none of %s", s, strings.Join(names, ", "))
		}
		return s, nil
	}
}
