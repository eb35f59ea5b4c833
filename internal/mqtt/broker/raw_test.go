package broker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"plantgate/internal/mqtt/broker"
	"plantgate/internal/mqtt/mqtttest"
)

// rawClient writes packets by hand, such as no client library would.
type rawClient struct{ conn net.Conn }

func dialRaw(t *testing.T, b *broker.Broker, connect []byte) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	r := &rawClient{conn}
	r.send(t, connect)
	return r
}

// connectPacket is CONNECT of the user plant.
func connectPacket(version, flags byte, id string, will ...[]byte) []byte {
	head := []byte{version, flags, 0, 30}
	if version == 5 {
		head = append(head, 5, 0x11, 0, 0, 0x0e, 0x10) // a session of an hour
	}
	parts := [][]byte{text("MQTT"), head, text(id)}
	parts = append(parts, will...)
	return packet(0x10, append(parts, text("plant"), text("the-secret"))...)
}

func (r *rawClient) send(t *testing.T, b []byte) {
	t.Helper()
	_ = r.conn.SetWriteDeadline(time.Now().Add(mqtttest.Patience))
	if _, err := r.conn.Write(b); err != nil {
		t.Fatal(err)
	}
}

// read returns the next packet.
func (r *rawClient) read() ([]byte, error) {
	head := make([]byte, 1)
	if _, err := io.ReadFull(r.conn, head); err != nil {
		return nil, err
	}
	var one oneByte
	one.r = r.conn
	n, err := binary.ReadUvarint(&one) // the same form as MQTT's (2.2.3)
	if err != nil {
		return nil, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(r.conn, body)
	return bytes.Join([][]byte{head, one.read, body}, nil), err
}

type oneByte struct {
	r    io.Reader
	read []byte
}

func (o *oneByte) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(o.r, b[:])
	o.read = append(o.read, b[0])
	return b[0], err
}

// expect reads a packet of the type.
func (r *rawClient) expect(t *testing.T, kind byte) []byte {
	t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(mqtttest.Patience))
	pk, err := r.read()
	if err != nil {
		t.Fatalf("waiting for a packet of type %x: %v", kind, err)
	}
	if pk[0]&0xf0 != kind {
		t.Fatalf("% x came, want a packet of type %x", pk, kind)
	}
	return pk
}

// none fails if a packet comes soon.
func (r *rawClient) none(t *testing.T) {
	t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if pk, err := r.read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("% x came, and %v", pk, err)
	}
}

// ended fails unless the connection is closed, with or without a DISCONNECT.
func (r *rawClient) ended(t *testing.T) {
	t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(mqtttest.Patience))
	pk, err := r.read()
	if err == nil && pk[0] == 0xe0 {
		_, err = r.read()
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection is open: % x, %v", pk, err)
	}
}
