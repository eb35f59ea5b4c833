package mqtt_test

import (
	"bufio"
	"net"
	"strings"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"plantgate/internal/mes"
	"plantgate/internal/mqtt"
	"plantgate/internal/mqtt/mqtttest"
)

// TestTooManyReturnCodes: a broker that answers for subscriptions that nobody
// asked for costs the connection, not the program.
func TestTooManyReturnCodes(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answerTooMuch(conn)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-served
	})
	a := newAdapter(t, connection(l.Addr().String()), mqtttest.NewIngester())
	run(t, a)
	waitState(t, a, mes.AdapterBackingOff)
}

// answerTooMuch speaks to one client until that ends the connection.
func answerTooMuch(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	for {
		p, err := packets.ReadPacket(r)
		if err != nil {
			return
		}
		switch p := p.(type) {
		case *packets.ConnectPacket:
			_, err = conn.Write([]byte{0x20, 2, 0, 0})
		case *packets.SubscribePacket:
			_, err = conn.Write([]byte{0x90, 5, byte(p.MessageID >> 8), byte(p.MessageID), 1, 1, 1})
		}
		if err != nil {
			return
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	long := "\x30\x80\x01" + strings.Repeat("\x90\x09", 64) // its body looks like SUBACK
	for name, c := range map[string]struct {
		stream string
		want   bool
	}{
		"one code":             {"\x20\x02\x00\x00\x90\x03\x00\x01\x01\xd0\x00\x90\x03\x00\x02\x80", true},
		"two codes":            {"\x20\x02\x00\x00\x90\x04\x00\x01\x01\x01", false},
		"after a publication":  {long + "\x90\x04\x00\x01\x01\x01", false},
		"within a publication": {long + "\xd0\x00", true},
		"length in two bytes":  {"\x90\x84\x01\x00\x01", false},
		"nothing":              {"", true},
	} {
		if got := mqtt.AllowAnswers([]byte(c.stream), len(c.stream)); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
		if got := mqtt.AllowAnswers([]byte(c.stream), 1); got != c.want {
			t.Errorf("%s, byte by byte: %t", name, got)
		}
	}
}
