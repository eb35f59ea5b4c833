package ingest

import (
	"errors"

	"plantgate/internal/mes"
)

// FormatReply is what a machine says of a command that it was given: not machine data. Who
// ingests replies reads them (see IsReply); elsewhere they are faulty, and go to
// quarantine.
const FormatReply Format = "reply"

var errReply = errors.New("it is a reply to a command")

// IsReply tells whether a record is a reply that nobody has read yet, in its payload.
func IsReply(r mes.Record) bool { return r.Fault != nil && errors.Is(r.Fault, errReply) }

// reply is the record of a reply.
func reply(src *Source, raw []byte) mes.Record {
	return faulty(src, raw, mes.Wrap(mes.CodeUnsupported, errReply, "is a reply to a command, which is no machine data: nothing can be stored of it"))
}
