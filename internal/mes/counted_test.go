package mes_test

import (
	"testing"

	"plantgate/internal/mes"
)

func TestCounted(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 faults", 1: "1 fault", 2: "2 faults", -1: "-1 faults"} {
		if got := mes.Counted(n, "fault"); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
