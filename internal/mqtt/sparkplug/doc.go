// Package sparkplug reads Sparkplug B (Eclipse Sparkplug 3.0, topics spBv1.0/…) as a
// host application does: it decodes the payloads of Eclipse Tahu, keeps what edge nodes
// and devices said at their birth, resolves aliases by it, watches sequence numbers and
// deaths, and makes records of metrics. It knows no broker: package mqtt brings it the
// messages in their order, and publishes what it asks for.
//
// One metric at one time is one record, as one OPC UA value is. A birth repeats values
// that came as data before; bearing the same time, name, value and quality, they are the
// same records, however the sender groups metrics into messages.
package sparkplug
