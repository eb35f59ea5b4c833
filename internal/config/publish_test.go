package config

import "testing"

func TestPublishFaults(t *testing.T) {
	t.Parallel()
	zero, two := 0, 2
	for name, tt := range map[string]struct {
		change func(p *Publish)
		want   []string // key below mqtt.connections[0].publish[0], a blank, part of the detail
	}{
		"valid":            {func(*Publish) {}, nil},
		"QoS 2":            {func(p *Publish) { p.QoS = &two }, nil},
		"QoS 0":            {func(p *Publish) { p.QoS = &zero }, []string{"qos must be 1 or 2"}},
		"kind":             {func(p *Publish) { p.Kind = "order" }, []string{"kind must be command"}},
		"wildcard":         {func(p *Publish) { p.Topic = "down/+/x" }, []string{"topic wildcard"}},
		"line":             {func(p *Publish) { p.Topic = "down/{line}/{machine}" }, []string{"topic write them out"}},
		"for all":          {func(p *Publish) { p.Topic = "down/commands" }, []string{"topic {machine}"}},
		"for some":         {func(p *Publish) { p.Topic, p.MachineIDs = "down/commands", []string{"M*"} }, []string{"topic {machine}"}},
		"for one":          {func(p *Publish) { p.Topic, p.MachineIDs = "down/commands", []string{"M1"} }, nil},
		"patterns":         {func(p *Publish) { p.MachineIDs = []string{"press-*", "M?", "[a-c]1"} }, nil},
		"bad pattern":      {func(p *Publish) { p.MachineIDs = []string{"M1", "[a"} }, []string{"machine_ids[1] pattern"}},
		"bad machine":      {func(p *Publish) { p.MachineIDs = []string{"a~b"} }, []string{"machine_ids[0] '~'"}},
		"bad site":         {func(p *Publish) { p.SiteID = "a/b" }, []string{"site_id '/'"}},
		"own publications": {func(p *Publish) { p.Topic = "plant/{site}/{machine}/commands" }, []string{"topic overlaps"}},
		"several at once":  {func(p *Publish) { p.Kind, p.QoS = "", &zero }, []string{"kind must be", "qos must be"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := validConnection()
			c.Publish = []Publish{{Kind: PublishCommand, Topic: "down/{site}/{machine}"}}
			tt.change(&c.Publish[0])
			checkFaults(t, MQTT{Connections: []MQTTConnection{c}}.validate(), "mqtt.connections[0].publish[0].", tt.want)
		})
	}
}

// TestPublishedElsewhere: what one connection publishes another of the same broker must
// not take in, and one of another broker may.
func TestPublishedElsewhere(t *testing.T) {
	t.Parallel()
	a, b := validConnection(), validConnection()
	a.Publish = []Publish{{Kind: PublishCommand, Topic: "down/{site}/{machine}"}}
	b.Name, b.ClientID = "other", "other"
	b.Subscriptions = []Subscription{{Topic: "down/#", Format: FormatAuto}}
	checkFaults(t, MQTT{Connections: []MQTTConnection{a, b}}.validate(), "mqtt.connections[0].publish[0].", []string{"topic overlaps"})
	b.URL = "ssl://other.example:8883"
	checkFaults(t, MQTT{Connections: []MQTTConnection{a, b}}.validate(), "", nil)
}

func TestReplyFaults(t *testing.T) {
	t.Parallel()
	c := validConnection()
	c.Subscriptions = []Subscription{{Topic: "up/{machine}/replies", Format: FormatReply}, {Topic: "up/replies", Format: FormatReply, DataType: "Event"}}
	checkFaults(t, MQTT{Connections: []MQTTConnection{c}}.validate(), "mqtt.connections[0].", []string{"subscriptions[1].format neither data_type"})
}

func TestPublishingFaults(t *testing.T) {
	t.Parallel()
	c := Default()
	c.MQTT.Broker.Enabled = true
	c.MQTT.Broker.Publish = []Publish{{Topic: "down/{machine}"}, {Topic: "down/{site}/{machine}"}, {Topic: "here/{machine}", SiteID: "pune"}}
	checkFaults(t, c.validatePublishing(), "", nil)
	c.Sites = []Site{{ID: "pune", TimeZone: "Asia/Kolkata"}}
	checkFaults(t, c.validatePublishing(), "mqtt.broker.publish[0].", []string{"topic {site}"})
	c.Sites, c.Store.DSN = nil, "sqlserver://db.example"
	checkFaults(t, c.validatePublishing(), "mqtt.broker.", []string{"publish embedded store"})
}
