package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"plantgate/internal/mes"
)

// connecting marks errors of making a connection, of which TLS and Kerberos have some
// that look like any other.
type connecting struct{ driver.Connector }

// Connect implements driver.Connector.
func (c connecting) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoConnection, err)
	}
	return conn, nil
}

// Close implements io.Closer.
func (c connecting) Close() error {
	if closer, ok := c.Connector.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// boundedConnector makes connections in a bounded time. The driver bounds how long a
// server may take to be reached, and lets one that was reached be silent for ever; a KDC
// that is silent is waited for by a library that can't be told to stop, several times 5 s.
type boundedConnector struct {
	driver.Connector
	longest time.Duration
	// attempts are those that have not ended, of which some were given up.
	attempts sync.WaitGroup
}

func newConnector(dsn string, longest time.Duration) (driver.Connector, error) {
	parameters, err := msdsn.Parse(dsn)
	if err != nil {
		return nil, mes.Wrap(mes.CodeInvalid, err, "store.dsn is not a DSN of SQL Server")
	}
	if err := checkLogin(parameters); err != nil {
		return nil, err
	}
	c := mssql.NewConnectorConfig(parameters)
	c.Dialer = attemptDialer{net.Dialer{KeepAlive: parameters.KeepAlive}}
	return &boundedConnector{Connector: c, longest: longest}, nil
}

// Connect implements driver.Connector.
func (c *boundedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, c.longest)
	defer cancel()
	a := &attempt{}
	made := make(chan connected)
	c.attempts.Go(func() {
		conn, err := c.Connector.Connect(context.WithValue(limited, attemptKey{}, a))
		select {
		case made <- connected{conn, err}:
		case <-limited.Done():
			if err == nil {
				_ = conn.Close()
			}
		}
	})
	select {
	case m := <-made:
		if m.err == nil || limited.Err() == nil {
			return m.conn, m.err
		}
	case <-limited.Done():
		a.hangUp()
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	return nil, errSilent
}

// Close implements io.Closer, which a pool calls: it waits for attempts that were given up.
func (c *boundedConnector) Close() error {
	c.attempts.Wait()
	return nil
}

// connected is what became of an attempt.
type connected struct {
	conn driver.Conn
	err  error
}

var errSilent = errors.New("log in: the server does not answer")

// attempt is a connection that is being made.
type attempt struct {
	mu    sync.Mutex
	ended bool
	conns []net.Conn
}

type attemptKey struct{}

// hangUp ends the attempt.
func (a *attempt) hangUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	for _, c := range a.conns {
		_ = c.Close()
	}
}

func (a *attempt) add(c net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = append(a.conns, c)
	if a.ended {
		_ = c.Close()
	}
}

// attemptDialer notes the connections of an attempt.
type attemptDialer struct{ net.Dialer }

// DialContext implements mssql.Dialer.
func (d attemptDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		a.add(c)
	}
	return c, nil
}
