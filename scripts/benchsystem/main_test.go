package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestMain lets the test's own binary be the echo server, as the program's is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == echoCommand {
		exit(echoMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// measured runs the program and returns its figures by name, and its verdicts.
func measured(t *testing.T, args ...string) (map[string]map[string]figure, []verdict) {
	t.Helper()
	var out, log strings.Builder
	if err := run(t.Context(), append(args, "-format=json", "-folder="+t.TempDir()), &out, &log); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), log.String())
	}
	figures := make(map[string]map[string]figure)
	var verdicts []verdict
	for line := range strings.Lines(out.String()) {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if v.Target != "" {
			verdicts = append(verdicts, v)
			continue
		}
		var f figure
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if figures[f.Name] == nil {
			figures[f.Name] = make(map[string]figure)
		}
		figures[f.Name][f.Unit] = f
	}
	return figures, verdicts
}

// The whole program, with loads so short that the figures mean nothing: servers
// start, every answer is a 201, no record is lost, and each scenario reports.
func TestEverythingIsMeasured(t *testing.T) {
	t.Parallel()
	figures, verdicts := measured(t, "-short", "-scenarios=idle,single,open,batch,restart",
		"-rounds=2", "-length=100ms", "-clients=4,64", "-rates=100", "-preload=2500", "-machines=64",
		"-sustain=300ms", "-burst=100ms", "-idle=10ms")
	for name, units := range map[string][]string{
		"start/empty":                        {"ms to ready"},
		"idle/empty":                         {"RSS-MB"},
		"machine/fdatasync":                  {unitPace, unitP50, unitP99},
		"machine/journal/writers=4":          {unitPace, unitP99},
		closedName(64, nameEcho):             {unitRate, unitP50, unitP99, unitP999, unitCPU, "client-cpu-us/answer", "RSS-MB", "peak-RSS-MB"},
		closedName(64, namePlantgate):        {unitRate, unitP50, unitP99, unitP999, unitCPU, "client-cpu-us/answer", "RSS-MB", "peak-RSS-MB"},
		"single/closed/clients=4/ratio":      {"rate/echo", "p99/echo", "cpu/echo"},
		openName("rate=100", nameEcho):       {"planned-req/s", unitRate, unitP99},
		openName("rate=half", namePlantgate): {"planned-req/s", unitRate, unitP99},
		"batch/sustained/mean":               {"records/s"},
		"batch/sustained":                    {"server-cpu-us/record", "peak-RSS-MB"},
		"batch/burst":                        {"offered-records/s", "batches-stored", "peak-RSS-MB"},
		"start/killed":                       {"ms to ready"},
		"start/stopped":                      {"ms to ready"},
	} {
		for _, unit := range units {
			if f, ok := figures[name][unit]; !ok || f.Median <= 0 {
				t.Errorf("%s has %v of %s", name, f.Rounds, unit)
			}
		}
	}
	if n := len(figures[closedName(4, namePlantgate)][unitRate].Rounds); n != 2 {
		t.Errorf("%d rounds, want 2", n)
	}
	if len(verdicts) != 6 {
		t.Errorf("%d verdicts, want one for each number of clients and two for each rate: %+v", len(verdicts), verdicts)
	}
}
