package main

import (
	"fmt"
	"os"
	"slices"

	"plantgate/internal/mqtt/brokertest"
)

// host starts a broker outside a test (brokertest.Host).
type host struct {
	folder string
	ends   []func()
}

// brokerFault is what ends the start of a broker.
type brokerFault struct{ error }

// startBroker starts the broker of that name, with data in folder. end stops it.
func startBroker(name, folder string, settings brokertest.Settings) (b *brokertest.Broker, end func(), err error) {
	h := &host{folder: folder}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case brokerFault:
			h.end() // what was started on the way
			err = r.error
		default:
			panic(r)
		}
	}()
	return brokertest.StartWith(h, name, settings), h.end, nil
}

func (h *host) end() {
	for _, end := range slices.Backward(h.ends) {
		end()
	}
	h.ends = nil
}

// Helper does nothing.
func (h *host) Helper() {}

// TempDir returns a new folder.
func (h *host) TempDir() string {
	folder, err := os.MkdirTemp(h.folder, "broker-")
	if err != nil {
		h.Fatal(err)
	}
	return folder
}

// Cleanup registers what ends the broker.
func (h *host) Cleanup(end func()) { h.ends = append(h.ends, end) }

// Fatal ends the start.
func (h *host) Fatal(args ...any) { h.Fatalf("%s", fmt.Sprint(args...)) }

// Fatalf ends the start.
func (h *host) Fatalf(format string, args ...any) { panic(brokerFault{fmt.Errorf(format, args...)}) }
