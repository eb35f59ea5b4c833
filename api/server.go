package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of a connection. Bodies have their own time, see Settings.BodyTimeout.
const (
	headerTimeout = 10 * time.Second
	writeTimeout  = 2 * time.Minute
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
)

// Limits of an HTTP/2 connection. What its streams have sent and no handler has read
// yet is in memory beside the bodies, and bounded by the receive buffers.
const (
	maxStreams       = 250
	connectionBuffer = 1 << 20
	streamBuffer     = 256 << 10
	maxFrame         = 64 << 10
)

// Server serves the HTTP interface on a listener.
type Server struct {
	api         *API
	http        *http.Server
	stopTimeout time.Duration
	// established are the HTTP/2 connections that a stop will tell to go away.
	established sync.Map
}

// NewServer returns a server that speaks HTTP/1.1 and HTTP/2. Without a TLS
// configuration it speaks plaintext HTTP/1.1. A stop waits for requests that
// are under way for at most stopTimeout.
func NewServer(a *API, tlsConfig *tls.Config, stopTimeout time.Duration) *Server {
	s := &Server{api: a, stopTimeout: stopTimeout}
	s.http = &http.Server{
		Handler:           a,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout + a.settings.BodyTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connectionBuffer,
			MaxReceiveBufferPerStream:     streamBuffer,
			MaxReadFrameSize:              maxFrame,
		},
		// What clients do wrong in a handshake is no error of the server's.
		ErrorLog:  slog.NewLogLogger(a.deps.Logger.Handler(), slog.LevelDebug),
		ConnState: s.watch,
	}
	return s
}

// watch closes HTTP/2 connections whose handshake ends after the stop began.
// Nobody tells those to go away, and Shutdown would wait for them in vain.
func (s *Server) watch(conn net.Conn, state http.ConnState) {
	t, ok := conn.(*tls.Conn)
	if !ok {
		return
	}
	switch state {
	case http.StateActive:
		if t.ConnectionState().NegotiatedProtocol != "h2" {
			return
		}
		if _, known := s.established.LoadOrStore(conn, true); !known && s.isStopping() {
			_ = conn.Close()
		}
	case http.StateClosed, http.StateHijacked:
		s.established.Delete(conn)
	}
}

func (s *Server) isStopping() bool {
	select {
	case <-s.api.stopping:
		return true
	default:
		return false
	}
}

// Run serves until the context ends, and then stops: it takes no more
// connections, and waits for requests that are under way. It
// closes the listener. It returns nil after a clean stop.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("HTTP server: %w", err)
	case <-ctx.Done():
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.stopTimeout)
	defer cancel()
	err := s.stop(stopCtx)
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

func (s *Server) serve(ln net.Listener) error {
	if s.http.TLSConfig == nil {
		return s.http.Serve(ln)
	}
	return s.http.ServeTLS(ln, "", "")
}

// stop waits for requests. Those that are not finished in time, such as one whose
// body never comes, are cut off: they had no answer, so nothing that was promised
// is lost.
func (s *Server) stop(ctx context.Context) error {
	close(s.api.stopping)
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.api.deps.Logger.Warn("requests were cut off at the stop", "after", s.stopTimeout)
		err = s.http.Close()
	}
	if err != nil {
		return fmt.Errorf("HTTP server: %w", err)
	}
	return nil
}
