package broker_test

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/mqtttest"
)

// TestFirstPacketIsBounded: whoever has no password gets no memory by saying
// that a large packet will follow. The length comes in one part and in two.
func TestFirstPacketIsBounded(t *testing.T) {
	t.Parallel()
	b := start(t, brokerConfig(), mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	for _, parts := range [][]string{
		{"\x10\xf6\xff\xff\x07"}, // CONNECT with 16 MiB less 10 bytes
		{"\x10\xf6", "\xff\xff\x07"},
		{"\x10\x81\x80\x08"}, // with 128 KiB and one byte
	} {
		conn, err := net.Dial("tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		for _, part := range parts {
			if _, err := conn.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		// Well below the time that a slow client has for its CONNECT.
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: the broker waits for the rest: %v", parts, err)
		}
	}
}

// TestLargestFirstPacket has a will as large as a packet of 64 KiB can hold.
func TestLargestFirstPacket(t *testing.T) {
	t.Parallel()
	b := start(t, brokerConfig(), mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	will := make([]byte, 65535)
	mqtttest.Connect(t, options(b, "with a large will").SetBinaryWill("plant/M1/will", will, 1, false))
}

// TestCloseWhileClientsConnect: a connection that was accepted as the broker
// stops is closed, and nothing serves it when Close has returned.
func TestCloseWhileClientsConnect(t *testing.T) {
	t.Parallel()
	for range 50 {
		b, err := broker.Start(brokerConfig(), broker.Deps{
			Ingester: mqtttest.NewIngester(), Decoder: mqtttest.Decoder{}, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the broker waited %s for a client that says nothing", took)
		}
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection outlives its broker: %v", err)
		}
		_ = conn.Close()
	}
}
