package main

import (
	"os"
	"runtime"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const after = " S 1 1 1 0 -1 4194304 100 200 0 0 123 45 6 7 20 0 9 0 1000 2000 300"
	for _, name := range []string{"plantgate", "a b", "x) S 1 (y", ""} {
		if got, err := parseStat("42 (" + name + ")" + after); err != nil || got != 1680*time.Millisecond {
			t.Errorf("%q: %s, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "42 (x", "42 (x) S 1", "42 (x) S 1 1 1 0 -1 4194304 100 200 0 0 a 45"} {
		if got, err := parseStat(bad); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	now, peak, err := parseStatus("Name:\tVmRSS: x\nVmPeak:\t  999 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\nThreads:\t9\n")
	if err != nil || now != 1<<20 || peak != 2<<20 {
		t.Errorf("%d %d %v", now, peak, err)
	}
	for _, bad := range []string{"", "VmHWM: 1 kB\n", "VmRSS: many kB\n"} {
		if _, _, err := parseStatus(bad); err == nil {
			t.Errorf("%q is a status", bad)
		}
	}
}

func TestFiguresOfThisProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	before, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 20*time.Millisecond; {
	}
	after, err := cpuOf(os.Getpid())
	if err != nil || after <= before {
		t.Errorf("%s of processor time, then %s: %v", before, after, err)
	}
	now, peak, err := memoryOf(os.Getpid())
	if err != nil || now <= 0 || peak <= 0 {
		t.Errorf("%d and %d bytes: %v", now, peak, err)
	}
}
