package demo

import (
	"encoding/json"
	"log/slog"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Answering is the machine that answers commands: it acknowledges one when it comes, and
// has completed it within a second.
const Answering = "M3"

// maxOrders is how many commands a machine takes before it has completed them.
const maxOrders = 100

// orders are the commands that a machine has acknowledged.
type orders struct {
	plant   *Plant
	machine string
	taken   chan order
}

// order is what a machine needs of a command.
type order struct {
	ID      string `json:"command_id"`
	SiteID  string `json:"site_id"`
	Command string `json:"command"`
}

// answer is a reply to a command.
type answer struct {
	CommandID string `json:"command_id"`
	Status    string `json:"status"`
	Message   string `json:"message,omitempty"`
}

func newOrders(p *Plant, machine string) *orders {
	return &orders{plant: p, machine: machine, taken: make(chan order, maxOrders)}
}

// subscribe is called at each connect.
func (o *orders) subscribe(client paho.Client) {
	client.Subscribe("plant/+/"+o.machine+"/commands", 1, func(client paho.Client, m paho.Message) {
		var command order
		if err := json.Unmarshal(m.Payload(), &command); err != nil {
			o.plant.Log.Warn("a machine can't read a command", slog.String("machine_id", o.machine), slog.Any("error", err))
			return
		}
		select {
		case o.taken <- command:
			o.reply(client, command, "acknowledged", "")
		default:
			o.reply(client, command, "rejected", "too many commands are waiting")
		}
	})
}

// finish completes what was acknowledged.
func (o *orders) finish(client paho.Client) {
	for range len(o.taken) {
		command := <-o.taken
		o.reply(client, command, "completed", command.Command+" is done")
	}
}

func (o *orders) reply(client paho.Client, to order, status, message string) {
	o.plant.publishJSON(client, "plant/"+to.SiteID+"/"+o.machine+"/replies", answer{to.ID, status, message})
}
