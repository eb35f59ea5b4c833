package app_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"plantgate/internal/app"
	"plantgate/internal/app/apptest"
	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
)

// TestPublishingEnds: a connection that is stopped stays up for what is on its way; one
// that another server has by now is let go at once, since it has the same client id, in the
// middle of what is on its way too.
func TestPublishingEnds(t *testing.T) {
	t.Parallel()
	broker := apptest.Start(t)
	for name, tt := range map[string]struct {
		stops, lost bool
	}{
		"stopped":           {true, false},
		"lost":              {false, true},
		"lost when stopped": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			up := make(chan struct{}, 10)
			ad, err := mqtt.New(config.MQTTConnection{
				Name: "hall", URL: broker.BrokerURL, ClientID: name, KeepAlive: time.Minute,
				Username: apptest.MQTTUser, Password: apptest.MQTTPassword,
			}, mqtt.Deps{Log: slog.New(slog.DiscardHandler), Connected: func() { up <- struct{}{} }})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			taken := make(chan struct{})
			gate, ended := make(chan struct{}), make(chan error, 1)
			connection := app.Publishing(ad, func(ctx context.Context) error {
				<-ctx.Done()
				<-gate // something is on its way
				return nil
			}, func(ctx context.Context) bool {
				select {
				case <-taken:
					return true
				case <-ctx.Done():
					return false
				}
			})
			go func() { ended <- connection.Run(ctx) }()
			<-up
			if tt.stops {
				stop()
				time.Sleep(300 * time.Millisecond)
				if state := ad.Status().State; state != mes.AdapterRunning {
					t.Errorf("while something is on its way the connection is %s", state)
				}
			}
			if tt.lost {
				close(taken)
				apptest.Eventually(t, "the end of the connection", func() bool { return ad.Status().State == mes.AdapterStopped })
			}
			stop()
			close(gate)
			if err := <-ended; err != nil || ad.Status().State != mes.AdapterStopped {
				t.Errorf("ended %s with %v", ad.Status().State, err)
			}
		})
	}
}
