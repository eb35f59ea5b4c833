package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"testing"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

	"plantgate/internal/mes"
)

// noConnector fails to connect.
type noConnector struct{ cause error }

func (c noConnector) Connect(context.Context) (driver.Conn, error) { return nil, c.cause }
func (c noConnector) Driver() driver.Driver                        { return nil }

// TestNoConnectionIsAway: whatever keeps a connection from being made, the database is
// away; but a refused login is told.
func TestNoConnectionIsAway(t *testing.T) {
	t.Parallel()
	for want, cause := range map[string]error{
		"the database can't be reached":  errors.New("TLS Handshake failed: unknown authority"),
		"the database refuses the login": mssql.Error{Number: errorLoginFailed},
	} {
		s, err := Open(t.Context(), "sqlserver://nowhere", Options{SQLServer: SQLServerOptions{Connector: noConnector{cause}, RetryFor: time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		for doing, err := range map[string]error{
			"read": s.Ping(t.Context()), "write": s.PutSites(t.Context(), []mes.Equipment{{SiteID: "s"}}),
		} {
			if !errors.Is(err, mes.ErrStoreAway) || mes.ErrorCode(err) != mes.CodeUnavailable || err.Error() != want {
				t.Errorf("%s: %v, want %q", doing, err, want)
			}
		}
	}
}
