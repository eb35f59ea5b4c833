package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/ingest"
	"plantgate/internal/mes"
)

// deliver appends a record with deliveries that came by connections, as ingest does.
func deliver(t *testing.T, s Store, r mes.Record, fail error, list ...mes.Delivery) {
	t.Helper()
	err := s.Update(t.Context(), func(tx ingest.Tx) error {
		if _, err := tx.AppendRecords(t.Context(), []mes.Record{r}, Window(day)); err != nil {
			return err
		}
		if err := tx.AppendDeliveries(t.Context(), list); err != nil {
			return err
		}
		return fail
	})
	if !errors.Is(err, fail) {
		t.Fatal(mes.WithCauses(err))
	}
}

func expectDeliveries(t *testing.T, s Store, connection string, want ...mes.Delivery) {
	t.Helper()
	got, err := s.ConnectionDeliveries(t.Context(), connection)
	if err != nil {
		t.Fatal(mes.WithCauses(err))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the deliveries of %s (-want +got):\n%s", connection, diff)
	}
}

func testConnectionDeliveries(t *testing.T, s Store) {
	d := func(connection, name string, number int64) mes.Delivery {
		return mes.Delivery{Connection: connection, Name: name, Number: number, Content: mes.ContentOf([]byte(name), []byte(fmt.Sprint(number)))}
	}
	got, err := s.ConnectionDeliveries(t.Context(), "plant")
	if err != nil || len(got) != 0 {
		t.Fatalf("at first there are the deliveries %v, %v", got, err)
	}
	first := NewRecord("s", "m", day)
	deliver(t, s, first, nil, d("plant", "2", 2), d("plant", "1", 1), d("Plant", "1", 9), d("plant", "é 𝄞", 3))
	expectDeliveries(t, s, "plant", d("plant", "1", 1), d("plant", "2", 2), d("plant", "é 𝄞", 3))
	expectDeliveries(t, s, "Plant", d("Plant", "1", 9))

	// The highest of a name counts, in whichever order they come.
	deliver(t, s, first, nil, d("plant", "1", 5), d("plant", "1", 4), d("plant", "2", 1))
	expectDeliveries(t, s, "plant", d("plant", "2", 2), d("plant", "é 𝄞", 3), d("plant", "1", 5))

	deliver(t, s, first, errors.New("undone"), d("plant", "2", 6), d("plant", "3", 7))
	expectDeliveries(t, s, "plant", d("plant", "2", 2), d("plant", "é 𝄞", 3), d("plant", "1", 5))

	var many, kept []mes.Delivery
	for i := range int64(1500) {
		many = append(many, d("many", fmt.Sprint(i%1000), i))
		if i >= 500 {
			kept = append(kept, many[i])
		}
	}
	deliver(t, s, first, nil, many...)
	expectDeliveries(t, s, "many", kept...)
}
