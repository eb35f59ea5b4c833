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

// TestCloseWhileClientsConnect: a connection that was accepted as the broker stops is
// closed at once. That nothing serves it any more is for the race detector to see.
func TestCloseWhileClientsConnect(t *testing.T) {
	t.Parallel()
	for range 50 {
		b := startUnclosed(t)
		conn, err := net.Dial("tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		closeInTime(t, b)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection outlives its broker: %v", err)
		}
		_ = conn.Close()
	}
}

// TestCloseWithDeafClient: a subscriber that does not read, and need not send anything,
// can't keep the broker from stopping.
func TestCloseWithDeafClient(t *testing.T) {
	t.Parallel()
	b := startUnclosed(t)
	conn, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	for _, packet := range []string{
		"\x10\x20\x00\x04MQTT\x04\xc2\x00\x00\x00\x01x\x00\x05plant\x00\x0athe-secret", // no keep-alive
		"\x82\x06\x00\x01\x00\x01#\x00",
	} {
		if _, err := conn.Write([]byte(packet)); err != nil {
			t.Fatal(err)
		}
		// CONNACK, then SUBACK: 4 and 5 bytes.
		if _, err := conn.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	publisher := mqtttest.Connect(t, options(b, "publisher"))
	for range 200 { // more than the buffers of a connection hold
		publisher.Publish("other", 0, false, make([]byte, 60_000)).WaitTimeout(time.Second)
	}
	closeInTime(t, b)
}

func startUnclosed(t *testing.T) *broker.Broker {
	t.Helper()
	b, err := broker.Start(brokerConfig(), broker.Deps{
		Ingester: mqtttest.NewIngester(), Decoder: mqtttest.Decoder{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func closeInTime(t *testing.T, b *broker.Broker) {
	t.Helper()
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(8 * time.Second):
		t.Fatal("the broker does not stop")
	}
}
