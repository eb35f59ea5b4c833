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
// The library is github.com/gopcua/opcua 0.9.1. Against 0.8.0 it keeps
// acknowledgements per subscription, reads PKCS #8 keys and has a server that
// the simulator needs (ids of sessions, access levels); neither version needs to
// be trusted with reconnecting. Both end the process on some malformed answers
// of a hostile server, since they decode in goroutines of their own: OPC UA
// servers belong into the plant's network.
package opcua
