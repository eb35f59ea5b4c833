package mes_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"plantgate/internal/mes"
)

// TestLogShowsCauses: what an Error keeps from users is in the log, once.
func TestLogShowsCauses(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such table")
	err := mes.Wrap(mes.CodeInternal, fmt.Errorf("read records: %w", cause), "the store failed")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Warn("x", slog.Any("error", err))
	const want = "the store failed: read records: no such table"
	if !strings.Contains(log.String(), want) {
		t.Errorf("the log says %q", log.String())
	}
	if got := mes.WithCauses(fmt.Errorf("open: %w", err)); got != "open: "+want {
		t.Errorf("%q", got)
	}
	if got := mes.WithCauses(errors.Join(err, errors.New("close"))); got != "the store failed\nclose: read records: no such table" {
		t.Errorf("%q", got)
	}
	if got := err.Error(); strings.Contains(got, "table") {
		t.Errorf("users read %q", got)
	}
}
