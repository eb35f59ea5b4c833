package broker

import (
	"testing"

	"plantgate/internal/config"
)

// TestRights: a user may have what one of its rules covers as a whole.
func TestRights(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule, filter string
		covered      bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/b", "a", false}, {"a/b", "a/b/c", false}, {"a/b", "a/b/", false},
		{"a/+", "a/b", true}, {"a/+", "a/+", true}, {"a/+", "a/#", false}, {"a/+", "a", false}, {"a/+", "a/b/c", false}, {"a/+", "a/", true},
		{"a/#", "a", true}, {"a/#", "a/#", true}, {"a/#", "a/+/c", true}, {"a/#", "#", false}, {"a/#", "+/b", false}, {"a/#", "ab", false},
		{"#", "#", true}, {"#", "a/b", true}, {"#", "+/#", true}, {"#", "$SYS/#", false}, {"+/b", "$SYS/b", false}, {"$SYS/#", "$SYS/broker", true},
		{"$SYS/+", "#", false}, {"a/b", "a/+", false}, {"a/b", "+/b", false}, {"+/b", "#", false},
		// Shared subscriptions are what they share.
		{"a/#", "$share/g/a/b", true}, {"a/#", "$share/g/b", false}, {"a/#", "$SHARE/g/#", false}, {"a/#", "$share/a/#", false},
		{"#", "$share/g/$SYS/#", false}, {"#", "$share/g/", false}, {"#", "$share/g", false},
		// Names of users and clients fill one level, or nothing.
		{"plant/{username}/#", "plant/edge/x", true}, {"plant/{username}/#", "plant/other/x", false}, {"plant/{username}/#", "plant/+/x", false},
		{"{client_id}", "c1", true}, {"{client_id}/x", "c1/x", true}, {"{client_id}", "{client_id}", false}, {"plant/{client_id}", "plant/#", false},
	}
	for _, tt := range tests {
		r := rights{subscribe: []string{tt.rule}}
		if got := r.maySubscribe(tt.filter, "edge", "c1"); got != tt.covered {
			t.Errorf("rule %s, filter %s: %v", tt.rule, tt.filter, got)
		}
	}
	for _, name := range []string{"", "#", "+", "a/b", "#/x", "a+", "a\x00"} {
		r := rights{publish: []string{"plant/{client_id}/{username}"}, subscribe: []string{"plant/{client_id}/#"}}
		for _, topic := range []string{"plant//e", "plant/#/e", "plant/+/e", "plant/a/b/e", "plant/a/e"} {
			if r.mayPublish(topic, "e", name) {
				t.Errorf("client id %q may publish to %s", name, topic)
			}
		}
		for _, filter := range []string{"plant/#", "plant/+/#", "plant//x", "plant/" + name + "/x"} {
			if r.maySubscribe(filter, "e", name) {
				t.Errorf("client id %q may subscribe to %s", name, filter)
			}
		}
	}
}

// TestRightsWithoutLists: as before there were lists.
func TestRightsWithoutLists(t *testing.T) {
	t.Parallel()
	all := newRights(config.BrokerUser{})
	if !all.mayPublish("a", "u", "c") || all.mayPublish("$SYS/a", "u", "c") || all.mayPublish("$a", "u", "c") || !all.maySubscribe("#", "u", "c") || !all.maySubscribe("$SYS/#", "u", "c") {
		t.Error("a user without lists has other rights")
	}
	publisher := newRights(config.BrokerUser{Publish: []string{"a"}})
	if !publisher.mayPublish("a", "u", "c") || publisher.maySubscribe("a", "u", "c") {
		t.Error("a user with one list may use the other")
	}
	unknown := (&users{}).rightsOf("gone")
	if unknown.mayPublish("a", "u", "c") || unknown.maySubscribe("a", "u", "c") {
		t.Error("a user who is not there any more has rights")
	}
}

// FuzzRights: whoever may subscribe to a filter may get every topic that it matches.
func FuzzRights(f *testing.F) {
	f.Add("a/+/#", "a/b/#", "a/b/c")
	f.Add("#", "+/b", "$x/b")
	f.Add("{client_id}/#", "c1/+", "c1/x")
	f.Fuzz(func(t *testing.T, rule, filter, topic string) {
		r := rights{subscribe: []string{rule}}
		// A filter is a rule without placeholders, and so says itself what it matches.
		matched := rights{subscribe: []string{filter}}.maySubscribe(topic, "{username}", "{client_id}")
		if config.CheckACL(rule) != nil || config.CheckACL(filter) != nil || config.CheckACL(topic) != nil {
			return
		}
		if matched && r.maySubscribe(filter, "u", "c1") && !r.maySubscribe(topic, "u", "c1") {
			t.Errorf("rule %q grants %q, which matches %q, and not that", rule, filter, topic)
		}
	})
}
