package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat (proc(5); USER_HZ is 100 on
// every architecture that Go runs on).
const tick = 10 * time.Millisecond

// parseStat returns the user and system time of /proc/PID/stat.
func parseStat(text string) (time.Duration, error) {
	// The second field is the program's name, which may hold spaces and brackets.
	end := strings.LastIndexByte(text, ')')
	fields := strings.Fields(text[end+1:])
	if end < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("no times in %.80q", text)
	}
	var sum int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}

// parseStatus returns VmRSS and VmHWM of /proc/PID/status in bytes.
func parseStatus(text string) (now, peak int64, err error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		var to *int64
		switch fields[0] {
		case "VmRSS:":
			to = &now
		case "VmHWM:":
			to = &peak
		default:
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		*to = kib << 10
	}
	if now == 0 {
		return 0, 0, fmt.Errorf("no VmRSS in %.80q", text)
	}
	return now, peak, nil
}
