package storetest

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plantgate/internal/command"
	"plantgate/internal/mes"
)

// testCommandReplyBatches gives many replies at once, some of them to the same command,
// in two batches that come at the same time.
func testCommandReplyBatches(t *testing.T, all Store) {
	s := all.(OutboxStore)
	const commands = 150
	want := make([]mes.Command, commands)
	var replies []mes.CommandReply
	var outcomes []command.ReplyOutcome
	for i := range commands {
		want[i] = create(t, s, "A", i)
		reply := func(status mes.CommandState, message, data string) {
			r := mes.CommandReply{
				CommandID: want[i].ID, SiteID: "s", MachineID: "A", Status: status, Message: message,
				ReceivedAt: day.Add(time.Duration(len(replies)) * time.Second),
			}
			if data != "" {
				r.Data = []byte(data)
			}
			outcome := command.ReplyLate
			if want[i].Take(r) {
				outcome = command.ReplyTaken
			}
			replies, outcomes = append(replies, r), append(outcomes, outcome)
		}
		switch i % 3 {
		case 0:
			reply(mes.CommandAcknowledged, "seen \x00\x1a\"", "")
			reply(mes.CommandCompleted, strings.Repeat("é", 2000), `{"long":"`+strings.Repeat("\\u0000x", 1000)+`"}`)
		case 1:
			reply(mes.CommandRejected, "", "null")
			reply(mes.CommandAcknowledged, "late", "")
		case 2:
			reply(mes.CommandAcknowledged, "", "[1]")
		}
	}
	replies = append(replies, mes.CommandReply{CommandID: mes.NewID(), Status: mes.CommandFailed, ReceivedAt: day})
	outcomes = append(outcomes, command.ReplyUnknown)
	var wg sync.WaitGroup
	got := make([][]command.ReplyOutcome, 2)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = s.ReplyToCommands(t.Context(), replies); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	// Each reply that counts was taken by one of both.
	for i := range replies {
		one := []command.ReplyOutcome{got[0][i], got[1][i]}
		expect := []command.ReplyOutcome{outcomes[i], outcomes[i]}
		if outcomes[i] == command.ReplyTaken {
			expect = []command.ReplyOutcome{command.ReplyLate, command.ReplyTaken}
		}
		if slices.Sort(one); !cmp.Equal(one, expect) {
			t.Fatalf("reply %d (%s): %v, want %v", i, replies[i].Status, one, expect)
		}
	}
	for _, c := range want {
		wantCommand(t, s, c)
	}
	if left := next(t, s, "s~A", 1000); len(left) != 0 {
		t.Errorf("%d messages of answered commands are left", len(left))
	}
	if got, err := s.ReplyToCommands(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("no replies: %v, %v", got, err)
	}
}
