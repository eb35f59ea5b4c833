package explore

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/link"
	"plantgate/internal/opcua/opcuatest"
	"plantgate/internal/opcua/sim"
)

// A watch goes on after a cut, and says so; it ends with its context.
func TestWatchThroughACut(t *testing.T) {
	t.Parallel()
	plant, err := sim.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plant.Close() })
	proxy := opcuatest.NewProxy(t, plant.Addr())
	ctx, stop := context.WithTimeout(t.Context(), 40*time.Second)
	defer stop()
	var mu sync.Mutex
	var notices []string
	values := make(chan string, 100)
	w := Watcher{
		Config: config.OPCUAConnection{Endpoint: proxy.URL()}, Deps: link.Deps{}, Interval: 100 * time.Millisecond,
		Notice: func(text string) {
			mu.Lock()
			defer mu.Unlock()
			notices = append(notices, text)
		},
		Changed: func(v mes.UAValue) error {
			values <- v.Value.Text()
			return nil
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, []string{stored, "nsu=urn:gone;s=x"}) }()
	await := func(want string) {
		t.Helper()
		for {
			select {
			case v := <-values:
				if v == want {
					return
				}
			case err := <-ended:
				t.Fatalf("the watch ended: %v, %q", err, notices)
			}
		}
	}
	await("29")
	plant.Write(30)
	await("30")
	proxy.Cut()
	plant.Write(31)
	await("31")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if all := strings.Join(notices, "\n"); !strings.Contains(all, "urn:gone") || !strings.Contains(all, "trying again") || !strings.Contains(all, "connected again") {
		t.Errorf("notices:\n%s", all)
	}
}

func TestWatchFailsAtOnce(t *testing.T) {
	t.Parallel()
	plant, err := sim.Start(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plant.Close() })
	enough := errors.New("enough")
	w := Watcher{Interval: 100 * time.Millisecond, Notice: func(string) {}, Changed: func(mes.UAValue) error { return enough }}
	w.Config.Endpoint = "opc.tcp://127.0.0.1:1"
	if err := w.Run(t.Context(), []string{stored}); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("away: %v", err)
	}
	w.Config.Endpoint = plant.URL()
	if err := w.Run(t.Context(), []string{"nsu=urn:gone;s=x"}); mes.ErrorCode(err) != mes.CodeInvalid {
		t.Errorf("nothing to watch: %v", err)
	}
	if err := w.Run(t.Context(), []string{stored}); !errors.Is(err, enough) {
		t.Errorf("an error of the printer: %v", err)
	}
}
