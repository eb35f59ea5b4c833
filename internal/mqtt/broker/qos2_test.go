package broker_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/mqtttest"
)

// publication is a PUBLISH of packet id 7.
func publication(version, header byte, payload string) []byte {
	body := [][]byte{text("plant/M1/data"), {0, 7}}
	if version == 5 {
		body = append(body, []byte{0})
	}
	return packet(header, append(body, []byte(payload))...)
}

// killed is a broker on what another has on the disk.
func killed(t *testing.T, folder string) *broker.Broker {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	return startIn(t, to, brokerConfig())
}

// received waits until the broker has taken n publications.
func received(t *testing.T, b *broker.Broker, n int64) {
	t.Helper()
	mqtttest.Eventually(t, "the publication", func() bool { return b.Status().Received == n })
}

// TestQoS2IDAfterKill: once PUBCOMP has come, the packet id is free for another
// publication, of either QoS, also if the program is killed at once.
func TestQoS2IDAfterKill(t *testing.T) {
	t.Parallel()
	for _, version := range []byte{4, 5} {
		folder := t.TempDir()
		b := startIn(t, folder, brokerConfig())
		raw := dialRaw(t, b, connectPacket(version, 0xc0, "p"))
		raw.expect(t, 0x20)
		raw.send(t, publication(version, 0x34, "once"))
		raw.expect(t, 0x50)
		raw.send(t, packet(0x62, []byte{0, 7}))
		raw.expect(t, 0x70)
		for _, header := range []byte{0x34, 0x32} {
			b := killed(t, folder)
			raw := dialRaw(t, b, connectPacket(version, 0xc0, "p"))
			raw.expect(t, 0x20)
			raw.send(t, publication(version, header, "another"))
			raw.expect(t, map[byte]byte{0x34: 0x50, 0x32: 0x40}[header])
			received(t, b, 1)
		}
	}
}

// TestQoS1ReusesID: a publication of QoS 1 is never taken for the repetition of one of
// QoS 2 that was not completed, on the same connection, on another or after a kill.
func TestQoS1ReusesID(t *testing.T) {
	t.Parallel()
	for _, version := range []byte{4, 5} {
		folder := t.TempDir()
		b := startIn(t, folder, brokerConfig())
		connect := func(b *broker.Broker) *rawClient {
			raw := dialRaw(t, b, connectPacket(version, 0xc0, "p"))
			raw.expect(t, 0x20)
			return raw
		}
		raw := connect(b)
		begin := func() {
			t.Helper()
			raw.send(t, publication(version, 0x34, "begun"))
			raw.expect(t, 0x50)
		}
		reuse := func() {
			t.Helper()
			raw.send(t, publication(version, 0x32, "another"))
			raw.expect(t, 0x40)
		}
		begin()
		reuse()
		received(t, b, 2)
		begin() // which the first does not stand in the way of
		received(t, b, 3)
		_ = raw.conn.Close()
		after := killed(t, folder)
		raw = connect(after)
		reuse()
		received(t, after, 1)
	}
}

// TestQoS2OfEndedSession: a session that ended with its connection leaves no packet ids to
// the one that takes the connection over.
func TestQoS2OfEndedSession(t *testing.T) {
	t.Parallel()
	b := startIn(t, t.TempDir(), brokerConfig())
	connect := packet(0x10, text("MQTT"), []byte{5, 0xc0, 0, 30, 0}, text("p"), text("plant"), text("the-secret"))
	for n := range int64(2) {
		raw := dialRaw(t, b, connect) // the session ends with it, clean start is not asked for
		if ack := raw.expect(t, 0x20); ack[2] != 0 {
			t.Errorf("CONNACK % x tells of a session", ack)
		}
		raw.send(t, publication(5, 0x34, "new"))
		for {
			_ = raw.conn.SetReadDeadline(time.Now().Add(mqtttest.Patience))
			pk, err := raw.read()
			if err != nil {
				t.Fatal(err)
			}
			if pk[0] == 0x50 {
				break
			}
		}
		received(t, b, n+1)
	}
}

// TestNoPubcompWithoutDisk: PUBREL is not answered when the log can't be written.
func TestNoPubcompWithoutDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	b := startIn(t, folder, brokerConfig())
	raw := dialRaw(t, b, connectPacket(4, 0xc0, "p"))
	raw.expect(t, 0x20)
	raw.send(t, publication(4, 0x34, "once"))
	raw.expect(t, 0x50)
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	raw.send(t, packet(0x62, []byte{0, 7}))
	raw.ended(t)
}
