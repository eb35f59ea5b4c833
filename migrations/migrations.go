// Package migrations holds the database schema as numbered steps, one folder a
// dialect. Equal numbers mean equal schemas.
package migrations

import "embed"

// SQLite holds the steps of the embedded store, under the folder "sqlite".
//
//go:embed sqlite/*.sql
var SQLite embed.FS

// SQLServer holds those of SQL Server, under the folder "sqlserver".
//
//go:embed sqlserver/*.sql
var SQLServer embed.FS
