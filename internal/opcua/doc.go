// Package opcua subscribes to nodes of OPC UA servers and hands every changed
// value to ingest, through every restart, cut and freeze of the server.
//
// One Adapter is one configured connection. It supervises itself and does not
// use the client library's automatic reconnect, which can report Connected with
// a dead subscription for ever. Instead it monitors the server's clock
// (i=2258, CurrentTime): a subscription that brings nothing for the time of the
// watchdog is given up, whatever the connection says of itself, and built anew
// with growing pauses. The first notification of each new monitored item is the
// current value, so a rebuild reads the present state again. What changed
// several times while there was no connection is lost at the server.
//
// The library is github.com/gopcua/opcua 0.9.1. Of 0.8.0 were missing a callback
// for the end of a connection (it has only a channel, which blocks the client
// when nobody reads it), and its server, on which the simulator stands, panics on
// data types as the standard has them. Neither version is trusted with
// reconnecting here. Both decode in goroutines of their own, and some malformed
// answers make them panic or loop: a hostile server can end the process, so OPC
// UA servers belong into the plant's network.
package opcua
