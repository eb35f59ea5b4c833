package bridge_test

import (
	"strings"
	"testing"
	"time"

	"plantgate/internal/mes"
)

// TestTextsStayHere: of an enumeration subscribers get the number that they know, once.
func TestTextsStayHere(t *testing.T) {
	t.Parallel()
	to := &box{}
	b := open(t, settings(), to)
	both := reading("Mode", mes.Int(2), day)
	both.Signals = append(both.Signals, mes.Signal{Name: "Mode.text", Value: mes.String("Automatic")})
	store(t, b, both, reading("Other.text", mes.String("kept"), day.Add(1)))
	for range 1000 {
		if all := strings.Join(to.sent(), "\n"); strings.Contains(all, "kept") {
			if strings.Contains(all, "Automatic") || !strings.Contains(all, `"value":2`) {
				t.Errorf("published: %s", all)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("published: %s", to.sent())
}
