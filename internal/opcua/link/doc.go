// Package link opens sessions with OPC UA servers: at the endpoint of the configured
// security, with a server whose certificate is trusted, as the configured user.
package link
