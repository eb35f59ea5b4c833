// Package explore looks at OPC UA servers and acts on them at the wish of a person: it
// browses, reads, writes, calls methods and watches, for the command line and for the API.
//
// It has sessions of its own. Those of a subscription belong to the goroutine that keeps it,
// only one server of several has them, and a large listing must not hold up their values.
// What the API asks of a connection goes through one shared session, which is opened when
// it is wanted and closed a few seconds after the last request, since PLCs have few.
package explore
