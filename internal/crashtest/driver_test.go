//go:build integration

package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// retryPause is how long a client waits before it sends or asks the same again.
const retryPause = 20 * time.Millisecond

// pace is that of a sender.
type pace struct {
	// own lies between two records, retry before the same is sent again.
	own, retry time.Duration
}

// nearlyAtOnce is the pace of a few senders that keep a server busy.
var nearlyAtOnce = pace{own: 5 * time.Millisecond, retry: retryPause}

// sharedMachine is written by every REST client.
const sharedMachine = "SHARED"

// driver sends records through both doors, whatever happens to the server, and
// keeps the ledger.
type driver struct {
	t      *testing.T
	url    string
	key    string
	client *http.Client
	broker brokerAccess
	ledger *ledger
	pace   pace
	// late, if it is set, is by how much records are late at most, every second one.
	late time.Duration
	// others are servers of the same database, to which a client goes on when one fails.
	others []endpoint
}

// endpoint is a server as a client sees it.
type endpoint struct {
	url    string
	client *http.Client
}

// moveOn takes the next server, if there are several.
func (d *driver) moveOn() {
	if len(d.others) == 0 {
		return
	}
	next := d.others[0]
	d.others = append(d.others[1:len(d.others):len(d.others)], endpoint{d.url, d.client})
	d.url, d.client = next.url, next.client
}

// run sends until ctx ends; every record that is not given up is then
// acknowledged. It needs a server that comes back.
func (d *driver) run(ctx context.Context, seed uint64) {
	var all sync.WaitGroup
	for i := range 4 {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		all.Go(func() {
			for ctx.Err() == nil {
				d.post(fmt.Sprintf("REST-%d", i), random)
				time.Sleep(d.pace.own)
			}
		})
	}
	for i := range 3 {
		all.Go(func() { d.publishAs(ctx, fmt.Sprintf("MQTT-%d", i)) })
	}
	all.Wait()
}

// post sends one request of a kind by chance and repeats it, the same bytes,
// until the answer is 200, 201 or 202. One in three is given up at the first failure:
// it may then be there or not, but not twice. One in ten is sent twice in any
// case, by a sender that does not trust the answer.
func (d *driver) post(machine string, random *rand.Rand) {
	if random.IntN(4) == 0 {
		machine = sharedMachine
	}
	body, header, numbers := d.compose(machine, random)
	patient, times := random.IntN(3) > 0, 1
	if random.IntN(10) == 0 {
		times = 2
	}
	for times > 0 {
		ids, err := d.send(body, header, len(numbers))
		if err == nil {
			for i, n := range numbers {
				d.ledger.ack(n, ids[i])
			}
			times--
			continue
		}
		if !patient {
			return
		}
		d.moveOn()
		time.Sleep(d.pace.retry)
	}
}

// compose makes a record with a timestamp, with a message id too, without either
// under an Idempotency-Key, or a batch of records with timestamps.
func (d *driver) compose(machine string, random *rand.Rand) (body string, header http.Header, numbers []int) {
	header = http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {d.key}}
	now := func() time.Time {
		at := time.Now()
		if d.late > 0 && random.IntN(2) == 0 {
			at = at.Add(-time.Duration(random.Int64N(int64(d.late))))
		}
		return at.UTC().Truncate(time.Microsecond)
	}
	record := func(at time.Time, more string) string {
		n := d.ledger.begin(entry{machine: machine, door: "rest", time: at})
		numbers = append(numbers, n)
		if !at.IsZero() {
			more += fmt.Sprintf(`,"timestamp":%q`, at.Format(time.RFC3339Nano))
		}
		return fmt.Sprintf(`{"machine_id":%q,"n":%d%s}`, machine, n, more)
	}
	switch random.IntN(4) {
	case 0:
		body = record(now(), "")
	case 1:
		body = record(now(), fmt.Sprintf(`,"message_id":"m-%d"`, random.Uint64()))
	case 2:
		body = record(time.Time{}, "")
		header.Set("Idempotency-Key", "crash-"+strconv.Itoa(numbers[0]))
	default:
		list := make([]string, 5)
		for i := range list {
			list[i] = record(now(), "")
		}
		body = "[" + strings.Join(list, ",") + "]"
	}
	return body, header, numbers
}

// send returns the ids of the records, "" for one that is not final, or an error if they were not
// acknowledged. A batch is one commit, so that its answer never mixes.
func (d *driver) send(body string, header http.Header, count int) ([]string, error) {
	req, err := http.NewRequest(http.MethodPost, d.url+"/data", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	n := d.ledger.answered(resp.StatusCode)
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted:
	case http.StatusServiceUnavailable:
		return nil, fmt.Errorf("answer %s", resp.Status)
	default:
		if n <= 3 { // the others are alike
			d.t.Errorf("answer %s to %s: %s", resp.Status, body, content)
		}
		return nil, fmt.Errorf("answer %s", resp.Status)
	}
	var answer struct {
		ID    string
		Items []struct{ ID string }
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		return nil, err
	}
	ids := []string{answer.ID}
	if count > 1 {
		ids = ids[:0]
		for _, item := range answer.Items {
			ids = append(ids, item.ID)
		}
	}
	if len(ids) != count || slices.Contains(ids, "") {
		return nil, fmt.Errorf("the ids %q for %d records", ids, count)
	}
	// A request without a time of its own may have been stored before the database went
	// away: then the record keeps the id of that time.
	if resp.StatusCode == http.StatusAccepted && header.Get("Idempotency-Key") != "" {
		return make([]string, count), nil
	}
	return ids, nil
}
