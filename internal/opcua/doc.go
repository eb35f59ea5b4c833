// Package opcua subscribes to nodes of OPC UA servers and hands every changed
// value to ingest, through every restart, cut and freeze of the server.
//
// One Adapter is one configured connection. It supervises itself and does not
// use the client library's automatic reconnect, which can report Connected with
// a dead subscription for ever. Instead it monitors the server's clock
// (i=2258, CurrentTime): a subscription that brings nothing for the time of the
// watchdog is given up, whatever the connection says of itself, and built anew
// with growing pauses. The next connection takes up the session, or the subscription, of the
// one before where the server still has it, with all that its queues held meanwhile. Else
// the first notification of each new monitored item is the current value, so a rebuild
// reads the present state again, and what came in between is read from the
// server's history, or recorded as lost (backfill.go).
//
// Nor is the library's publish loop used: it acknowledges what nobody has stored, and loses
// answers; see publish.go and takeover.go.
//
// The library is github.com/gopcua/opcua 0.9.1. Of 0.8.0 were missing a callback
// for the end of a connection (it has only a channel, which blocks the client
// when nobody reads it), and its server, on which the simulator stands, panics on
// data types as the standard has them. Neither version is trusted with
// reconnecting here.
//
// Both decode in goroutines of their own, where nobody can recover from a panic, so that
// a hostile server can end the process by the bytes of a Variant (OPC 10000-6, 5.2.2.16):
//
//   - an array of a length below -1 (panic);
//   - dimensions whose product overflows 32 bits to the number of elements (a loop
//     without end, or memory without end);
//   - a count of dimensions up to 2^31-1 (8 GiB at once);
//   - Variants, DataValues or DiagnosticInfos nested as deep as a message is long (the stack).
//
// So OPC UA servers belong into the plant's network. What of a value the library leaves to
// this program (the bodies of structures that are not of the standard) is decoded by
// vqt within bounds. Bytes before the library can't be looked at: its dialer insists on a
// *net.TCPConn, and what it reads is encrypted where security is on. Other malformed
// values end the connection; see probe.go.
package opcua
