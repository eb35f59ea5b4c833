//go:build integration

package opcua

import (
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/opcuatest"
)

func nodeAlarms(t *testing.T) *peer {
	t.Helper()
	newNodePeerInstalled(t)
	p := &peer{name: "node-opcua", command: []string{"node", filepath.Join(peersFolder(t), "node-alarms.js"), "PORT", "FOLDER"}}
	return p.launch(t)
}

func asyncuaEvents(t *testing.T) *peer {
	t.Helper()
	p := &peer{name: "asyncua", command: []string{pythonOfPeers(t), filepath.Join(peersFolder(t), "asyncua_events.py"), "PORT"}}
	return p.launch(t)
}

// eventsConfig reads events, and no node.
func eventsConfig(p *peer, events ...config.OPCUAEvents) config.OPCUAConnection {
	cfg := peerConfig("opc.tcp://" + p.addr())
	cfg.PublishingInterval, cfg.SamplingInterval = 100*time.Millisecond, 100*time.Millisecond
	cfg.Acknowledge = true
	cfg.Machines = []config.OPCUAMachine{{MachineID: "plant", Events: events}}
	return cfg
}

// told waits for events for which every signal is as wanted, and returns them.
func told(t *testing.T, to *opcuatest.Ingester, what string, atLeast int, want map[string]string) []mes.Record {
	t.Helper()
	var found []mes.Record
	to.Wait(t, limit, what, func(records []mes.Record) bool {
		found = nil
		for _, r := range records {
			fits := r.DataType == mes.Event && r.Fault == nil
			for signal, value := range want {
				fits = fits && textOfSignal(&r, signal) == value
			}
			if fits {
				found = append(found, r)
			}
		}
		return len(found) >= atLeast
	})
	return found
}

// present waits until the alarms are as wanted.
func present(t *testing.T, a *Adapter, what string, fits func(mes.Alarms) bool) mes.Alarms {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		all, err := a.Alarms()
		if err == nil && fits(all) {
			return all
		}
		if time.Now().After(end) {
			t.Fatalf("%s: the alarms are %+v (%v)", what, all, err)
		}
	}
}

func conditions(n int) func(mes.Alarms) bool {
	return func(all mes.Alarms) bool { return all.Complete && len(all.Items) == n }
}

// act acts on an alarm and wants the code, "" for success.
func act(t *testing.T, a *Adapter, action mes.AlarmAction, one mes.Alarm, want mes.Code) {
	t.Helper()
	err := a.ActOnAlarm(t.Context(), mes.AlarmRequest{
		Action: action, ConditionID: one.ConditionID, EventID: one.EventID, Comment: "seen by " + string(action), By: "key-1",
	})
	if mes.ErrorCode(err) != want {
		t.Errorf("%s %s: %v, want %q", action, one.ConditionID, err, want)
	}
}

// Alarms are raised, acknowledged, confirmed and cleared; a refresh after a cut tells them
// again, and after a restart they are other ones.
func TestPeerAlarms(t *testing.T) {
	t.Parallel()
	p := nodeAlarms(t)
	relay := opcuatest.NewProxy(t, p.addr())
	to := opcuatest.NewIngester()
	cfg := eventsConfig(p, config.OPCUAEvents{
		Types: []string{"AlarmConditionType"}, MinSeverity: 50,
		Sources: []config.OPCUAEventSource{{Source: "nsu=urn:alarms;s=Tank2", MachineID: "tank-2"}},
	})
	cfg.Endpoint = relay.URL()
	book := &auditBook{}
	a, err := newAdapter(cfg, Deps{Ingester: to, Logger: slog.New(slog.DiscardHandler), SiteID: "main", Folder: t.TempDir(), Audit: book}, defaultTiming())
	if err != nil {
		t.Fatal(err)
	}
	start(t, a)
	present(t, a, "before anything", conditions(0))
	p.order(t, "event closed") // of another type
	p.order(t, "level 95")
	raised := told(t, to, "raised alarms", 2, map[string]string{"event.ActiveState.Id": "true", "event.AckedState.Id": "false"})
	all := present(t, a, "raised", conditions(2))
	tank1, tank2 := all.Items[0], all.Items[1]
	if tank1.MachineID != "plant" || tank2.MachineID != "tank-2" || tank1.TypeName != "ExclusiveLimitAlarmType" || tank2.Confirmed == nil {
		t.Errorf("the alarms are %+v", all.Items)
	}

	// A cut, and the alarms are told again: as the same records.
	relay.Cut()
	before := len(to.Records())
	again := told(t, to, "alarms told again", 4, map[string]string{"event.ActiveState.Id": "true", "event.AckedState.Id": "false"})
	ids := map[mes.ID]bool{}
	for i := range again {
		again[i].Identify(mes.ID{})
		ids[again[i].ID] = true
	}
	if len(raised) != 2 || len(ids) != 2 {
		t.Errorf("2 alarms that are told twice have %d identities", len(ids))
	}
	gaps := told(t, to, "gap records", 2, map[string]string{"gap.reason": string(reasonNoEvents)})
	if len(gaps) != 2 || gaps[0].MachineID == gaps[1].MachineID {
		t.Errorf("gap records after %d records: %+v", before, gaps)
	}
	present(t, a, "after the cut", conditions(2))

	act(t, a, mes.AlarmAcknowledge, tank1, "")
	act(t, a, mes.AlarmAcknowledge, tank2, "")
	act(t, a, mes.AlarmAcknowledge, mes.Alarm{ConditionID: "nsu=urn:alarms;s=None", EventID: "AQ=="}, mes.CodeNotFound)
	told(t, to, "acknowledged alarms", 2, map[string]string{"event.AckedState.Id": "true", "event.Comment": "seen by acknowledge"})
	if got, want := book.states("opcua.alarm.acknowledge"), "done done refused"; got != want {
		t.Errorf("the audit has %q, want %q", got, want)
	}
	all = present(t, a, "acknowledged", func(all mes.Alarms) bool {
		i := slices.IndexFunc(all.Items, func(one mes.Alarm) bool { return one.ConditionID == tank2.ConditionID })
		return i >= 0 && *all.Items[i].Acked
	})
	tank2 = all.Items[len(all.Items)-1]
	act(t, a, mes.AlarmConfirm, mes.Alarm{ConditionID: tank2.ConditionID, EventID: "AQ=="}, mes.CodeConflict)
	act(t, a, mes.AlarmConfirm, tank2, "")
	p.order(t, "level 50")
	told(t, to, "cleared alarms", 2, map[string]string{"event.ActiveState.Id": "false"})
	for _, r := range to.Records() {
		if r.Fault != nil || textOfSignal(&r, "event.EventType.BrowseName") == "DoorEventType" {
			t.Errorf("came: %+v", r)
		}
	}

	p.order(t, "level 5")
	present(t, a, "raised again", conditions(2))
	p.kill()
	p.start(t)
	present(t, a, "after a restart, which clears them", conditions(0))
}

// What one notifier below the Server object tells: its own events, of a vendor's type, with
// its name.
func TestPeerNotifier(t *testing.T) {
	t.Parallel()
	p := nodeAlarms(t)
	to := opcuatest.NewIngester()
	cfg := eventsConfig(p,
		config.OPCUAEvents{Path: "/Objects/nsu=urn:alarms;Area", Types: []string{"SystemEventType"}},
		config.OPCUAEvents{NodeID: "nsu=urn:alarms;s=None"},
	)
	a := running(t, cfg, to, defaultTiming())
	inState(t, a, mes.AdapterDegraded, "events of nsu=urn:alarms;s=None")
	p.order(t, "event the door is open")
	door := told(t, to, "the door", 1, map[string]string{"event.EventType.BrowseName": "DoorEventType", "event.Message": "the door is open"})
	if door[0].TimeOrigin != mes.TimeSource || textOfSignal(&door[0], "event.SourceNode") != "nsu=urn:alarms;s=Area" || door[0].MachineID != "plant" {
		t.Errorf("the door is %+v", door[0])
	}
	// No refresh of it ends by the server's word, and it is complete all the same.
	p.order(t, "level 95")
	time.Sleep(time.Second)
	for _, r := range to.Records() {
		if textOfSignal(&r, "event.ConditionId") != "" {
			t.Errorf("an alarm is no SystemEvent: %+v", r)
		}
	}
}

// asyncua knows no subtypes in a filter, and conditions only as events.
func TestPeerAsyncuaEvents(t *testing.T) {
	t.Parallel()
	p := asyncuaEvents(t)
	to := opcuatest.NewIngester()
	cfg := eventsConfig(p, config.OPCUAEvents{Types: []string{"SystemEventType", "ConditionType"}, MinSeverity: 100})
	book := &auditBook{}
	a, err := newAdapter(cfg, Deps{Ingester: to, Logger: slog.New(slog.DiscardHandler), SiteID: "main", Folder: t.TempDir(), Audit: book}, defaultTiming())
	if err != nil {
		t.Fatal(err)
	}
	start(t, a)
	inState(t, a, mes.AdapterRunning, "")
	p.order(t, "event it runs")
	p.order(t, "quiet nobody cares")
	p.order(t, "door it opens")
	p.order(t, "alarm on")
	told(t, to, "the event", 1, map[string]string{"event.Message": "it runs", "event.EventType.BrowseName": "SystemEventType"})
	told(t, to, "an event of a subtype", 1, map[string]string{"event.Message": "it opens", "event.EventType.BrowseName": "DoorEventType"})
	hot := told(t, to, "the alarm", 1, map[string]string{"event.ConditionName": "Overheat", "event.ActiveState.Id": "true"})
	if textOfSignal(&hot[0], "event.Severity") != "800" || textOfSignal(&hot[0], "event.ConditionId") != "nsu=urn:alarms;s=Press/Overheat" {
		t.Errorf("the alarm is %v", hot[0].Signals)
	}
	one := present(t, a, "the alarm", func(all mes.Alarms) bool { return len(all.Items) == 1 }).Items[0]
	act(t, a, mes.AlarmAcknowledge, one, mes.CodeNotFound) // no node, so no method
	p.order(t, "alarm off")
	present(t, a, "no alarm", func(all mes.Alarms) bool { return len(all.Items) == 0 })
	for _, r := range to.Records() {
		if textOfSignal(&r, "event.Message") == "nobody cares" {
			t.Error("an event below min_severity came")
		}
	}
}
