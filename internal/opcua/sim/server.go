// Package sim is a simulated plant behind a real OPC UA server, for the demo
// and for tests. It has no security and listens where it is told to.
//
// The server of the library has its traps, which this package works around: it
// can't tell its port, leaves connections open when it is closed, and accepts one
// connection after the other and waits for each greeting. So it runs on an inner port,
// and a relay that this package owns stands before it. Of subscriptions it keeps one
// value a publish: they are this package's own.
package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopcua/opcua/id"
	"github.com/gopcua/opcua/server"
	"github.com/gopcua/opcua/ua"
	"github.com/gopcua/opcua/uasc"
)

// Server is a running plant.
type Server struct {
	relay  *relay
	opcua  *server.Server
	plant  *plant
	notify *notifier
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	// noEvents and noCalls are set of a server that does not know these.
	noEvents, noCalls atomic.Bool
}

// Start listens on addr ("host:port", port 0 for any) and simulates until Close.
// ctx bounds the start only: the library's server would wait 10 s for itself if
// its context ended before Close.
func Start(ctx context.Context, addr string) (*Server, error) {
	return start(ctx, addr, time.Now, 200*time.Millisecond)
}

func start(ctx context.Context, addr string, now func() time.Time, tick time.Duration) (*Server, error) {
	s := &Server{plant: newPlant(now)}
	ctx, err := s.listen(ctx, addr, func() {
		s.plant.addTo(s.opcua)
		s.opcua.RegisterHandler(id.WriteRequest_Encoding_DefaultBinary, s.write)
		s.notify.eventless = s.noEvents.Load
		s.opcua.RegisterHandler(id.CallRequest_Encoding_DefaultBinary, s.call)
		s.notify.watched = s.plant.watch
	})
	if err != nil {
		return nil, err
	}
	s.tasks.Go(func() { s.simulate(ctx, tick) })
	return s, nil
}

// listen starts serving what prepare adds to the library's server. The context it returns
// ends at Close.
func (s *Server) listen(ctx context.Context, addr string, prepare func()) (context.Context, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("simulated OPC UA server: %w", err)
	}
	outer := listener.Addr().(*net.TCPAddr)
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	inner, err := s.serve(ctx, outer, prepare)
	if err != nil {
		s.cancel()
		return nil, errors.Join(fmt.Errorf("simulated OPC UA server: %w", err), listener.Close())
	}
	s.relay = newRelay(listener, inner)
	return ctx, nil
}

// Addr returns the address on which the server listens.
func (s *Server) Addr() string { return s.relay.listener.Addr().String() }

// URL returns the endpoint for clients.
func (s *Server) URL() string { return "opc.tcp://" + s.Addr() }

// Write sets MyStoredVariable, as a client of the server may.
func (s *Server) Write(v int32) { s.notify.reread(s.plant.store(v)) }

// Close ends every connection and waits for the simulation to end.
func (s *Server) Close() error {
	err := s.relay.close()
	err = errors.Join(err, s.opcua.Close())
	s.cancel()
	s.tasks.Wait()
	s.notify.close()
	return err
}

// serve starts the library's server on a free port of the loopback address.
func (s *Server) serve(ctx context.Context, outer *net.TCPAddr, prepare func()) (string, error) {
	const tries = 5
	var err error
	for range tries {
		var port int
		if port, err = freePort(ctx); err != nil {
			return "", err
		}
		s.opcua = server.New(
			server.EndPoint("127.0.0.1", port),
			server.EndPoint(outer.IP.String(), outer.Port),
			server.EnableSecurity("None", ua.MessageSecurityModeNone),
			server.EnableAuthMode(ua.UserTokenTypeAnonymous),
			server.ServerName("plantgate simulated plant"),
		)
		s.notify = newNotifier(s.opcua)
		prepare()
		if err = s.opcua.Start(ctx); err == nil {
			return fmt.Sprintf("127.0.0.1:%d", port), nil
		}
	}
	return "", err
}

// freePort asks the system for a port. Another process may take it before the
// server does; serve then tries the next.
func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// simulate steps the plant and tells subscribers what changed.
func (s *Server) simulate(ctx context.Context, tick time.Duration) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			for _, nodeID := range s.plant.step() {
				s.notify.reread(nodeID)
			}
			s.notify.reread(clock())
		}
	}
}

// clock is the node of the server's time.
func clock() *ua.NodeID { return ua.NewNumericNodeID(0, id.Server_ServerStatus_CurrentTime) }

// write takes the place of the library's handler, which lets clients replace
// any node by any value and races with readers.
func (s *Server) write(_ *uasc.SecureChannel, r ua.Request, _ uint32) (ua.Response, error) {
	req, ok := r.(*ua.WriteRequest)
	if !ok {
		return nil, ua.StatusBadRequestTypeInvalid
	}
	results := make([]ua.StatusCode, len(req.NodesToWrite))
	for i, w := range req.NodesToWrite {
		var changed *ua.NodeID
		if results[i], changed = s.plant.write(w); changed != nil {
			s.notify.reread(changed)
		}
	}
	return &ua.WriteResponse{
		ResponseHeader: &ua.ResponseHeader{
			Timestamp:          time.Now(),
			RequestHandle:      req.RequestHeader.RequestHandle,
			ServiceDiagnostics: &ua.DiagnosticInfo{},
			StringTable:        []string{},
			AdditionalHeader:   ua.NewExtensionObject(nil),
		},
		Results:         results,
		DiagnosticInfos: []*ua.DiagnosticInfo{},
	}, nil
}

// RefuseEvents has every request for events end in a fault of the service, as with servers
// that know none.
func (s *Server) RefuseEvents() { s.noEvents.Store(true) }

// RefuseCalls has every call end so.
func (s *Server) RefuseCalls() { s.noCalls.Store(true) }
