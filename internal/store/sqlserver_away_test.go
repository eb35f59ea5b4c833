package store_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
	"plantgate/internal/store"
	"plantgate/internal/store/storetest"
)

// listen takes connections and does something with each, until the end of the test.
func listen(t *testing.T, with func(net.Conn)) (dsn string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		var conns []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, c)
			with(c)
		}
		for _, c := range conns {
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return fmt.Sprintf("sqlserver://user:word@%s?database=x&encrypt=disable", l.Addr())
}

// TestAServerThatDoesNotTalkIsAway: one that takes connections and says nothing on them,
// or ends them, is away, and shows so in a bounded time.
func TestAServerThatDoesNotTalkIsAway(t *testing.T) {
	t.Parallel()
	const connect, soon = 100 * time.Millisecond, 10 * time.Second
	for name, with := range map[string]func(net.Conn){
		"silent": func(net.Conn) {},
		"ends":   func(c net.Conn) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := store.Open(t.Context(), listen(t, with), store.Options{
				SQLServer: store.SQLServerOptions{ConnectTimeout: connect, RetryFor: time.Millisecond},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			begun := time.Now()
			for what, call := range map[string]func(context.Context) error{
				"read": s.Ping,
				"write": func(ctx context.Context) error {
					return s.Intake().Update(ctx, func(tx ingest.Tx) error {
						_, err := tx.AppendRecords(ctx, []mes.Record{storetest.NewRecord("s", "m", begun)}, storetest.Window(begun))
						return err
					})
				},
			} {
				if err := call(t.Context()); !errors.Is(err, mes.ErrStoreAway) || mes.ErrorCode(err) != mes.CodeUnavailable {
					t.Errorf("%s: %s", what, mes.WithCauses(err))
				}
				if took := time.Since(begun); took > soon {
					t.Errorf("%s: it took %s", what, took)
				}
			}
		})
	}
}

// TestWhoAsksASilentServerGivesUp: the caller's time counts while a connection is made.
func TestWhoAsksASilentServerGivesUp(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), listen(t, func(net.Conn) {}), store.Options{
		SQLServer: store.SQLServerOptions{ConnectTimeout: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Ping(ctx); mes.ErrorCode(err) != mes.CodeUnavailable {
		t.Errorf("%s", mes.WithCauses(err))
	}
}
