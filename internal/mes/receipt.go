package mes

// ReceiptStatus is what became of a record.
type ReceiptStatus string

// The outcomes. Created, Duplicate, Accepted and Quarantined are durable when the
// receipt is given.
const (
	// ReceiptCreated: stored as a new record.
	ReceiptCreated ReceiptStatus = "created"
	// ReceiptDuplicate: the record was there already; ID is the first arrival's.
	ReceiptDuplicate ReceiptStatus = "duplicate"
	// ReceiptAccepted: on the disk of this server while the database is away. ID is
	// final; whether the record is new is not known yet.
	ReceiptAccepted ReceiptStatus = "accepted"
	// ReceiptQuarantined: not accepted, kept with its bytes and the reason.
	ReceiptQuarantined ReceiptStatus = "quarantined"
	// ReceiptRejected: not accepted and not kept; the sender has the reason.
	ReceiptRejected ReceiptStatus = "rejected"
)

// Receipt is the answer to one record of a batch.
type Receipt struct {
	Status ReceiptStatus
	// ID of the record, or of the quarantined item.
	ID ID
	// Repeated means that this is the answer that an earlier request with the same
	// idempotency key had, and that nothing was stored now.
	Repeated bool
	// Fault is why it was quarantined or rejected.
	Fault *Error
}
