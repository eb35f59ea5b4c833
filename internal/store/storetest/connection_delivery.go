package storetest

import (
	"context"
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

// testConnectionsForget keeps of each connection the newest of those whose names
// begin alike.
func testConnectionsForget(t *testing.T, s Store) {
	d := func(connection, name string, number int64) mes.Delivery {
		return mes.Delivery{Connection: connection, Name: name, Number: number, Content: mes.ContentOf([]byte(name))}
	}
	deliver(t, s, NewRecord("s", "m", day), nil,
		d("plant", "retained c", 1), d("plant", "retained a", 2), d("plant", "0", 3), d("plant", "retained b", 4), d("plant", "retained d", 5),
		d("Plant", "retained c", 1), d("Plant", "retaine", 1), d("other", "retained x", 7), d("other", "retained y", 8), d("other", "retained z", 9))
	deliver(t, s, NewRecord("s", "m", day), nil, d("plant", "retained c", 6)) // which is new again
	if applied, ok := s.(interface{ Settle(context.Context) error }); ok {    // of a store with a log
		if err := applied.Settle(t.Context()); err != nil {
			t.Fatal(mes.WithCauses(err))
		}
	}
	for _, want := range []int64{2, 1, 0} {
		if n, err := s.ForgetConnectionDeliveries(t.Context(), "retained ", 2, 2); err != nil || n != want {
			t.Fatalf("%d were forgotten, not %d; %v", n, want, err)
		}
	}
	expectDeliveries(t, s, "plant", d("plant", "0", 3), d("plant", "retained d", 5), d("plant", "retained c", 6))
	expectDeliveries(t, s, "Plant", d("Plant", "retaine", 1), d("Plant", "retained c", 1))
	expectDeliveries(t, s, "other", d("other", "retained y", 8), d("other", "retained z", 9))
	if n, err := s.ForgetConnectionDeliveries(t.Context(), "birth ", 0, 2); err != nil || n != 0 {
		t.Errorf("%d births were forgotten; %v", n, err)
	}
}
