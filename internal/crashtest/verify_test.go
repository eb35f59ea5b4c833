//go:build integration

package crashtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// storedRecord is a record as the server lists it.
type storedRecord struct {
	ID        string
	MachineID string `json:"machine_id"`
	Timestamp time.Time
	Signals   struct{ N int }
	Source    struct{ Door string }
}

func (s storedRecord) number() int { return s.Signals.N }

func (s storedRecord) String() string {
	return fmt.Sprintf("%s: %d of %s at %s by %s", s.ID, s.number(), s.MachineID, s.Timestamp.Format(time.RFC3339Nano), s.Source.Door)
}

// get reads one JSON document. It comes again while there is much to be applied
// before it can be read.
func (d *driver) get(path string, query url.Values, to any) error {
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(retryPause) {
		status, err := d.getOnce(path, query, to)
		if status != http.StatusServiceUnavailable || time.Now().After(deadline) {
			return err
		}
	}
}

func (d *driver) getOnce(path string, query url.Values, to any) (status int, err error) {
	req, err := http.NewRequest(http.MethodGet, d.url+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-Api-Key", d.key)
	resp, err := d.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return resp.StatusCode, json.NewDecoder(resp.Body).Decode(to)
}

// list walks all pages of a list.
func list[T any](d *driver, path string, query url.Values) ([]T, error) {
	var all []T
	query.Set("limit", "1000")
	for {
		var page struct {
			Items      []T
			NextCursor string `json:"next_cursor"`
		}
		if err := d.get(path, query, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.NextCursor == "" {
			return all, nil
		}
		query.Set("cursor", page.NextCursor)
	}
}

// drain waits until as many records have come by MQTT as were acknowledged by
// the broker, at most for the patience: fewer are for compare to report.
func (d *driver) drain(patience time.Duration) error {
	want := d.ledger.acked("mqtt")
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		found, err := list[storedRecord](d, "/data", url.Values{"source": {"mqtt"}, "order": {"asc"}})
		if err != nil {
			return err
		}
		if len(found) >= want || time.Now().After(deadline) {
			return nil
		}
	}
}

// verifyLatest compares the newest value of each machine with its newest record.
func (d *driver) verifyLatest(records []storedRecord) error {
	newest := make(map[string]storedRecord)
	for _, r := range records {
		n, ok := newest[r.MachineID]
		if c := r.Timestamp.Compare(n.Timestamp); !ok || c > 0 || c == 0 && r.ID > n.ID {
			newest[r.MachineID] = r
		}
	}
	latest, err := list[struct {
		MachineID string `json:"machine_id"`
		Signal    string
		Value     int
		RecordID  string `json:"record_id"`
	}](d, "/api/v1/latest", url.Values{})
	if err != nil {
		return err
	}
	if len(latest) != len(newest) {
		return fmt.Errorf("%d newest values of %d machines", len(latest), len(newest))
	}
	var errs []error
	for _, l := range latest {
		if n := newest[l.MachineID]; l.RecordID != n.ID || l.Value != n.number() {
			errs = append(errs, fmt.Errorf("the newest value of %s is %d of %s, its newest record %s", l.MachineID, l.Value, l.RecordID, n))
		}
	}
	return errors.Join(errs...)
}

// verifyFile opens the database of a stopped server.
func verifyFile(ctx context.Context, path string, records int) error {
	f, err := readFile(ctx, path)
	if err != nil {
		return err
	}
	if f.integrity != "ok" || f.records != records || f.rows != records || f.lastNumber != records || f.quarantined != 0 {
		return fmt.Errorf("the server listed %d records; the file: %+v", records, f)
	}
	return nil
}
