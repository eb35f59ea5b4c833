package broker

import (
	"strings"

	mochi "github.com/mochi-mqtt/server/v2"

	"plantgate/internal/config"
)

// rights are what a user may publish and subscribe to.
type rights struct {
	// all is a user without lists.
	all                bool
	publish, subscribe []string
}

func newRights(u config.BrokerUser) rights {
	return rights{all: u.Publish == nil && u.Subscribe == nil, publish: u.Publish, subscribe: u.Subscribe}
}

// mayPublish tells whether a client may publish to a topic. The broker's own topics are
// nobody's to publish to.
func (r rights) mayPublish(topic, user, clientID string) bool {
	if topic == "" || topic[0] == '$' {
		return false
	}
	return r.all || covered(r.publish, topic, user, clientID)
}

// maySubscribe tells whether a client may have everything that a filter matches, or the
// messages of a topic. Of a shared subscription the filter behind the group counts.
func (r rights) maySubscribe(filter, user, clientID string) bool {
	if mochi.IsSharedFilter(filter) {
		_, group, _ := strings.Cut(filter, "/")
		_, inner, ok := strings.Cut(group, "/")
		if !ok || inner == "" {
			return false
		}
		filter = inner
	}
	return r.all || covered(r.subscribe, filter, user, clientID)
}

// covered tells whether one of the rules matches everything that the filter, or topic,
// matches. Two rules that do so only together do not.
func covered(rules []string, filter, user, clientID string) bool {
	for _, rule := range rules {
		if covers(rule, filter, user, clientID) {
			return true
		}
	}
	return false
}

func covers(rule, filter, user, clientID string) bool {
	if strings.HasPrefix(filter, "$") && !strings.HasPrefix(rule, "$") {
		return false // a wildcard does not match the first level then (MQTT 3.1.1, 4.7.2)
	}
	for {
		want, restOfRule, moreRule := strings.Cut(rule, "/")
		if want == "#" {
			return true
		}
		got, rest, more := strings.Cut(filter, "/")
		switch want {
		case config.ACLUsername:
			want = oneLevel(user)
		case config.ACLClientID:
			want = oneLevel(clientID)
		}
		switch {
		case want == "" && isPlaceholder(rule):
			return false
		case got == "#", got == "+" && want != "+", want != "+" && want != got:
			return false
		case !moreRule:
			return !more
		case !more:
			return restOfRule == "#" // a/# is for a too
		}
		rule, filter = restOfRule, rest
	}
}

// isPlaceholder tells whether a rule goes on with a placeholder.
func isPlaceholder(rule string) bool {
	return strings.HasPrefix(rule, config.ACLUsername) || strings.HasPrefix(rule, config.ACLClientID)
}

// oneLevel is what a name puts in the place of its placeholder: nothing, which matches
// nothing, if it is more than the name of a level.
func oneLevel(name string) string {
	if strings.ContainsAny(name, "/+#\x00") {
		return ""
	}
	return name
}
