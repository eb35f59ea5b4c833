package mes_test

import (
	"strings"
	"testing"
	"time"

	"plantgate/internal/mes"
)

// TestCommandTakesReplies tries every reply in every state.
func TestCommandTakesReplies(t *testing.T) {
	t.Parallel()
	const a, r, c, f = mes.CommandAcknowledged, mes.CommandRejected, mes.CommandCompleted, mes.CommandFailed
	takes := map[mes.CommandState][]mes.CommandState{
		mes.CommandPending: {a, r, c, f}, mes.CommandSent: {a, r, c, f}, mes.CommandExpired: {a, r, c, f}, mes.CommandCancelled: {a, r, c, f},
		a: {r, c, f}, r: nil, c: nil, f: nil,
	}
	at := time.Now()
	for _, state := range mes.CommandStates() {
		for _, status := range mes.ReplyStates() {
			want := false
			for _, s := range takes[state] {
				want = want || s == status
			}
			command := mes.Command{State: state, FinishedAt: at.Add(-time.Second), ReplyMessage: "before"}
			took := command.Take(mes.CommandReply{Status: status, Message: "now", ReceivedAt: at})
			switch {
			case took != want:
				t.Errorf("%s in %s: taken %t", status, state, took)
			case !want && (command.State != state || command.ReplyMessage != "before"):
				t.Errorf("%s in %s changed it: %+v", status, state, command)
			case want && status == a && (command.State != a || !command.AcknowledgedAt.Equal(at) || !command.FinishedAt.IsZero()):
				t.Errorf("%s in %s: %+v", status, state, command)
			case want && status != a && (command.State != status || !command.FinishedAt.Equal(at) || command.ReplyMessage != "now"):
				t.Errorf("%s in %s: %+v", status, state, command)
			}
		}
	}
}

func TestCheckCommandName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"job_order.dispatch": true, "Stop-1": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a/b": false, "a b": false, "a+": false, "#": false, "é": false, "{x}": false, "a\x00": false,
	} {
		if err := mes.CheckCommandName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
