package journal_test

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/ingest"
	"plantgate/internal/journal"
	"plantgate/internal/mes"
	"plantgate/internal/wal"
)

// TestFormatOfConnectionDeliveries: what an older program left in its log is read by this
// one, byte for byte as it was written.
func TestFormatOfConnectionDeliveries(t *testing.T) {
	t.Parallel()
	d := mes.Delivery{Connection: "plant", Name: "12", Number: 300}
	copy(d.Content[:], "0123456789abcdef")
	// Format 1, first record number 1, entry of kind 5: two texts, a varint, 16 bytes.
	frame := "01" + "01" + "05" + "05" + hex.EncodeToString([]byte("plant")) + "02" + hex.EncodeToString([]byte("12")) +
		"d804" + hex.EncodeToString([]byte("0123456789abcdef"))

	raw, err := hex.DecodeString(frame)
	if err != nil {
		t.Fatal(err)
	}
	var got journal.Batch
	if err := got.Read(raw, 1); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(journal.Group{FirstArrival: 1, ConnectionDeliveries: []mes.Delivery{d}}, got.Group, compare()); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	p := open(t, plenty())
	err = p.Update(t.Context(), func(tx ingest.Tx) error { return tx.AppendDeliveries(t.Context(), []mes.Delivery{d}) })
	if err != nil {
		t.Fatal(err)
	}
	var written []string
	err = wal.Scan(p.folder, 0, 0, func(frame []byte, _ wal.Position) error {
		written = append(written, hex.EncodeToString(frame))
		return nil
	})
	if err != nil || !slices.Equal(written, []string{frame}) {
		t.Errorf("written: %s %v, want %s", written, err, frame)
	}
}
