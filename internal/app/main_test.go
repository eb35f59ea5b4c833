package app_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"plantgate/internal/app/apptest"
)

// TestMain is also the server of tests that want one in its own process. Nothing
// that a server started may go on after its stop.
func TestMain(m *testing.M) {
	apptest.Main(func() int {
		code := m.Run()
		if code != 0 {
			return code
		}
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	})
}
