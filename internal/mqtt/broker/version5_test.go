package broker_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt/mqtttest"
)

// TestVersion5IsToldWhy writes the packets of MQTT 5 by hand, which the Go
// client does not speak: no PUBACK, but a DISCONNECT with a reason.
func TestVersion5IsToldWhy(t *testing.T) {
	t.Parallel()
	ing := mqtttest.NewIngester()
	ing.Fail(mes.Errorf(mes.CodeUnavailable, "the store is away"))
	b := start(t, brokerConfig(), ing, slog.New(slog.DiscardHandler))
	conn, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(mqtttest.Patience))

	// Protocol MQTT 5, user and password, clean start, keep-alive 30 s.
	connect := packet(0x10, text("MQTT"), []byte{5, 0xc2, 0, 30, 0}, text("machine"), text("plant"), text("the-secret"))
	publish := packet(0x32, text("plant/M1/data"), []byte{0, 1, 0}, []byte("value"))
	if _, err := conn.Write(append(connect, publish...)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer) < 2 || answer[0] != 0x20 {
		t.Fatalf("no CONNACK in % x", answer)
	}
	rest := answer[2+int(answer[1]):]
	if !bytes.HasPrefix(rest, []byte{0xe0}) || len(rest) < 3 || rest[2] != 0x88 {
		t.Errorf("after CONNACK came % x, want DISCONNECT with the reason 0x88 (server unavailable)", rest)
	}
}

func packet(header byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append([]byte{header, byte(len(body))}, body...)
}

func text(s string) []byte { return append([]byte{0, byte(len(s))}, s...) }

// TestUnknownTopicAlias: a message without a topic is not acknowledged.
func TestUnknownTopicAlias(t *testing.T) {
	t.Parallel()
	b := start(t, brokerConfig(), mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	conn, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(mqtttest.Patience))
	connect := packet(0x10, text("MQTT"), []byte{5, 0xc2, 0, 30, 0}, text("machine"), text("plant"), text("the-secret"))
	publish := packet(0x32, text(""), []byte{0, 1, 3, 0x23, 0, 9}, []byte("value")) // alias 9
	end := []byte{0xe0, 0}
	if _, err := conn.Write(bytes.Join([][]byte{connect, publish, end}, nil)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer) < 2 || answer[0] != 0x20 {
		t.Fatalf("no CONNACK in % x", answer)
	}
	rest := answer[2+int(answer[1]):]
	if !bytes.HasPrefix(rest, []byte{0xe0}) || len(rest) < 3 || rest[2] != 0x94 {
		t.Errorf("after CONNACK came % x, want DISCONNECT with the reason 0x94 (topic alias invalid)", rest)
	}
}

// TestSessionsEnd: whoever asks for a session without end is told that it is
// kept for a day.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	b := start(t, brokerConfig(), mqtttest.NewIngester(), slog.New(slog.DiscardHandler))
	conn, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(mqtttest.Patience))
	// Session expiry interval (0x11) without end; clean start is off.
	connect := packet(0x10, text("MQTT"), []byte{5, 0xc0, 0, 30, 5, 0x11, 0xff, 0xff, 0xff, 0xff},
		text("machine"), text("plant"), text("the-secret"))
	if _, err := conn.Write(append(connect, 0xe0, 0)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(answer, []byte{0x11, 0x00, 0x01, 0x51, 0x80}) { // 86,400 s
		t.Errorf("the CONNACK % x does not tell of a day", answer)
	}
}
