//go:build !kerberos

package store

import (
	"github.com/microsoft/go-mssqldb/msdsn"

	"plantgate/internal/mes"
)

// checkLogin says why a login can't be had that a DSN asks for.
func checkLogin(c msdsn.Config) error {
	if c.Parameters["authenticator"] == kerberos {
		return mes.Errorf(mes.CodeInvalid, "store.dsn: this plantgate was built without Kerberos (go build -tags kerberos)")
	}
	return nil
}
