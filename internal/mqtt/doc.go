// Package mqtt takes machine data from MQTT brokers. An Adapter is a permanent
// connection: it keeps a session at the broker, binds topics to machines, and
// acknowledges a message only after the records it became are committed. So a
// message is delivered at least once, and ingest's identity of records makes
// that exactly once for messages that bear a time or a message id.
//
// Bindings are tried in their configured order and the first that matches a
// topic wins: one message is one record, however many filters it matches.
//
// RabbitMQ turns topics into AMQP routing keys, whose levels are parted by dots:
// a dot in a published topic comes back as a slash, as one level more. Machine
// ids that stand in topics must have no dots there.
package mqtt
