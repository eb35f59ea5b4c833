package store

import (
	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
)

// candidates are the records of one commit on their way to receipts.
type candidates struct {
	records  []mes.Record
	receipts []mes.Receipt
	window   ingest.LedgerWindow
	// places are the indexes of the records to be inserted.
	places []int
	// ledger is what came before under a name, and what this commit adds.
	ledger map[journal.DeliveryName]delivered
	added  []journal.DeliveryName
	// present are ids that are there, with the index of the record that brings them in
	// this commit, or none.
	present map[mes.ID]int
	// repeats are the records that get the receipt of another of this commit.
	repeats map[int]int
}

// delivered is an entry of the ledger; by is the index of the record of this commit
// that adds it, or none.
type delivered struct {
	journal.Delivery
	by int
}

const none = -1

func newCandidates(records []mes.Record, window ingest.LedgerWindow) *candidates {
	return &candidates{
		records: records, receipts: make([]mes.Receipt, len(records)), window: window,
		ledger: map[journal.DeliveryName]delivered{}, present: map[mes.ID]int{}, repeats: map[int]int{},
	}
}

func keyName(r *mes.Record) journal.DeliveryName {
	return journal.DeliveryName{Kind: journal.DeliveryKey, Key: r.Idempotency.Key}
}

func messageName(r *mes.Record) journal.DeliveryName {
	return journal.DeliveryName{Kind: journal.DeliveryMessage, SiteID: r.SiteID, MachineID: r.MachineID, Key: r.MessageID}
}

// names are the arguments of deliveriesByName.
func (c *candidates) names(db database) [][]any {
	var list [][]any
	seen := map[journal.DeliveryName]bool{}
	add := func(n journal.DeliveryName) {
		if !seen[n] {
			seen[n] = true
			list = append(list, []any{string(n.Kind), n.SiteID, n.MachineID, db.asKey(n.Key)})
		}
	}
	for i := range c.records {
		r := &c.records[i]
		if r.Idempotency != nil {
			add(keyName(r))
		}
		if r.MessageID != "" {
			add(messageName(r))
		}
	}
	return list
}

// doubtful are the arguments of recordsByID: ids of which more must be known than that
// inserting them fails.
func (c *candidates) doubtful() [][]any {
	var list [][]any
	add := func(id mes.ID) {
		from, to := timesOf(id)
		list = append(list, []any{uuid(id), timestamp{from}, timestamp{to}})
	}
	for i := range c.records {
		r := &c.records[i]
		if alternative, ok := r.AltID(); ok {
			add(alternative)
		}
		if r.MessageID != "" {
			add(r.ID)
		}
	}
	return list
}

// decide sorts the records, in their order, into those to be inserted and those that
// came before. stored reads a record that is there.
func (c *candidates) decide(stored func(mes.ID) (mes.Record, error)) error {
	for i := range c.records {
		if c.repeatsKey(i) {
			continue
		}
		receipt, err := c.decideUnkeyed(i, stored)
		if err != nil {
			return err
		}
		c.receipts[i] = receipt
		if key := c.records[i].Idempotency; key != nil && receipt.Fault == nil {
			c.deliver(keyName(&c.records[i]), key.Body, i, receipt.ID)
		}
	}
	return nil
}

// repeatsKey answers a record whose idempotency key came before.
func (c *candidates) repeatsKey(i int) bool {
	key := c.records[i].Idempotency
	if key == nil {
		return false
	}
	first, found := c.ledger[keyName(&c.records[i])]
	switch {
	case !found || !first.ArrivedAt.After(c.window.KeysSince):
		return false
	case first.Hash != key.Body:
		c.receipts[i] = mes.Receipt{Status: mes.ReceiptRejected, Fault: mes.Errorf(mes.CodeInvalid, "%w", mes.ErrKeyReused)}
	case first.by != none:
		c.repeats[i] = first.by
	default:
		c.receipts[i] = mes.Receipt{Status: first.Status, ID: first.RecordID, Repeated: true}
	}
	return true
}

func (c *candidates) decideUnkeyed(i int, stored func(mes.ID) (mes.Record, error)) (mes.Receipt, error) {
	r := &c.records[i]
	if r.MessageID != "" {
		if first, found := c.ledger[messageName(r)]; found && first.ArrivedAt.After(c.window.MessagesSince) {
			if !r.HasContent(first.Hash) {
				return messageConflict(r.MessageID), nil
			}
			return mes.Receipt{Status: mes.ReceiptDuplicate, ID: first.RecordID}, nil
		}
	}
	receipt, err := c.decideByID(i, stored)
	if err == nil && receipt.Fault == nil && r.MessageID != "" {
		c.deliver(messageName(r), r.ContentHash(), i, receipt.ID)
	}
	return receipt, err
}

func (c *candidates) decideByID(i int, stored func(mes.ID) (mes.Record, error)) (mes.Receipt, error) {
	r := &c.records[i]
	if alternative, ok := r.AltID(); ok {
		if _, present := c.present[alternative]; present {
			return mes.Receipt{Status: mes.ReceiptDuplicate, ID: alternative}, nil
		}
	}
	by, present := c.present[r.ID]
	if !present {
		c.present[r.ID] = i
		c.places = append(c.places, i)
		return mes.Receipt{Status: mes.ReceiptCreated, ID: r.ID}, nil
	}
	if r.MessageID != "" {
		same, err := c.hasContent(r, by, stored)
		if err != nil {
			return mes.Receipt{}, err
		}
		if !same {
			return messageConflict(r.MessageID), nil
		}
	}
	return mes.Receipt{Status: mes.ReceiptDuplicate, ID: r.ID}, nil
}

// hasContent compares the record with the one of its id: by the ledger, unless its
// message id was used for another since.
func (c *candidates) hasContent(r *mes.Record, by int, stored func(mes.ID) (mes.Record, error)) (bool, error) {
	if first, found := c.ledger[messageName(r)]; found && first.RecordID == r.ID {
		return r.HasContent(first.Hash), nil
	}
	if by != none {
		return c.records[by].ContentHash() == r.ContentHash(), nil
	}
	first, err := stored(r.ID)
	return err == nil && first.ContentHash() == r.ContentHash(), err
}

func messageConflict(messageID string) mes.Receipt {
	return mes.Receipt{Status: mes.ReceiptRejected, Fault: mes.Errorf(mes.CodeConflict,
		"message_id %q came before with other content", messageID)}
}

// deliver adds to the ledger what the record at i brings; the receipt is not final yet.
func (c *candidates) deliver(name journal.DeliveryName, hash [32]byte, i int, id mes.ID) {
	c.ledger[name] = delivered{
		Delivery: journal.Delivery{DeliveryName: name, Hash: hash, RecordID: id, ArrivedAt: c.window.Now},
		by:       i,
	}
	c.added = append(c.added, name)
}

// chosen are the records to be inserted.
func (c *candidates) chosen() []mes.Record {
	list := make([]mes.Record, len(c.places))
	for i, place := range c.places {
		list[i] = c.records[place]
	}
	return list
}

// takeBack makes duplicates of the candidates that were there. For those of which more
// should have been known the commit is made again: somebody else was faster.
func (c *candidates) takeBack(created map[mes.ID]struct{}) error {
	for _, place := range c.places {
		r := &c.records[place]
		if _, ok := created[r.ID]; ok {
			continue
		}
		if r.MessageID != "" {
			return mes.Wrap(mes.CodeUnavailable, errAgain, "the store is busy")
		}
		c.receipts[place].Status = mes.ReceiptDuplicate
	}
	return nil
}

// settle gives receipts to the records that repeat others, and returns what is new in
// the ledger.
func (c *candidates) settle() []journal.Delivery {
	for i, by := range c.repeats {
		c.receipts[i] = c.receipts[by]
		c.receipts[i].Repeated = true
	}
	list := make([]journal.Delivery, 0, len(c.added))
	for _, name := range c.added {
		d := c.ledger[name]
		d.RecordID, d.Status = c.receipts[d.by].ID, c.receipts[d.by].Status
		list = append(list, d.Delivery)
	}
	return list
}
