// Package trust decides which OPC UA servers are spoken to and proves to them who speaks:
// the client's own application certificate, and the checks of a server's.
package trust
