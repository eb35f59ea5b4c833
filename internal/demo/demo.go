// Package demo is a simulated plant around a real server: machines that are
// read by OPC UA, that publish to the own MQTT broker and that post by REST, all
// over the protocols themselves on loopback. Nothing goes past a door.
package demo

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"plantgate/internal/config"
	"plantgate/internal/mes"
	"plantgate/internal/opcua/sim"
	machines "plantgate/internal/sim"
)

// Names of the demo's parts.
const (
	MQTTUser = "demo"
	// ProductionTopic carries envelopes, DataTopic flat records of each machine.
	ProductionTopic = "mes/production/data"
	DataTopic       = "plant/{line}/{machine}/data"
)

// Secrets are what the demo's clients prove themselves with. They are made once
// and kept, so that a page that was open goes on after a restart.
type Secrets struct {
	APIKey       string
	MQTTPassword string
}

// OpenSecrets reads the secrets of the folder, making those that are missing.
func OpenSecrets(folder string) (Secrets, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return Secrets{}, err
	}
	key, err := secret(filepath.Join(folder, "api.key"))
	if err != nil {
		return Secrets{}, err
	}
	password, err := secret(filepath.Join(folder, "mqtt.password"))
	return Secrets{APIKey: key, MQTTPassword: password}, err
}

func secret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(b))) >= 16 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	text := rand.Text()
	return text, os.WriteFile(path, []byte(text+"\n"), 0o600)
}

// Configure turns a configuration into the demo's: own broker on, a connection to
// the simulated OPC UA server, data in the folder. An API key and addresses that
// were set otherwise than by default stay.
func Configure(c config.Config, folder, opcuaEndpoint string, s Secrets) config.Config {
	d := config.Default()
	if c.Store.DSN == d.Store.DSN {
		c.Store.DSN = "sqlite:" + filepath.Join(folder, "plantgate.db")
	}
	if c.Server.TLS.Folder == d.Server.TLS.Folder {
		c.Server.TLS.Folder = filepath.Join(folder, "tls")
	}
	if c.Auth.BootstrapKey == "" {
		c.Auth.BootstrapKey = s.APIKey
	}
	// The key of the demo may do everything: only this machine is let in, unless it is
	// told otherwise.
	if c.Server.Listen == d.Server.Listen {
		c.Server.Listen = "127.0.0.1" + c.Server.Listen
	}
	c.Server.Listen = Free(c.Server.Listen)
	c.Metrics.Listen = Free(c.Metrics.Listen)
	c.MQTT.Broker.Enabled = true
	c.MQTT.Broker.Listen = Free(c.MQTT.Broker.Listen)
	c.MQTT.Broker.Users = append(c.MQTT.Broker.Users, config.BrokerUser{Username: MQTTUser, Password: s.MQTTPassword})
	c.MQTT.Broker.Subscriptions = append(c.MQTT.Broker.Subscriptions,
		config.Subscription{Topic: ProductionTopic, Format: config.FormatEnvelope},
		config.Subscription{Topic: DataTopic, Format: config.FormatFlat},
		config.Subscription{Topic: "opc_data/all_variables", Format: config.FormatSnapshot, MachineID: "OPC-BRIDGE"},
		config.Subscription{Topic: "opc_data/my_variable", Format: config.FormatValue, MachineID: "OPC-BRIDGE"},
	)
	if !c.Store.IsSQLServer() { // whose servers have no broker of their own for commands
		c.MQTT.Broker.Subscriptions = append(c.MQTT.Broker.Subscriptions, config.Subscription{Topic: "plant/{site}/{machine}/replies", Format: config.FormatReply})
		c.MQTT.Broker.Publish = append(c.MQTT.Broker.Publish, config.Publish{Topic: "plant/{site}/{machine}/commands"})
	}
	c.OPCUA.Connections = append(c.OPCUA.Connections, connection(opcuaEndpoint))
	c.ApplyElementDefaults()
	return c
}

// connection subscribes to every variable of the simulated server.
func connection(endpoint string) config.OPCUAConnection {
	c := config.OPCUAConnection{Name: "simulated-plant", Endpoint: endpoint}
	folder := config.OPCUAMachine{MachineID: "OPC-DEMO"}
	for _, id := range []string{sim.StoredVariable, sim.SynchronousVariable, sim.AsynchronousVariable} {
		folder.Nodes = append(folder.Nodes, config.OPCUANode{NodeID: id})
	}
	c.Machines = append(c.Machines, folder)
	c.Writable = []config.OPCUAWritable{{Node: sim.StoredVariable, MachineID: folder.MachineID}}
	c.Callable = []config.OPCUACallable{{Object: sim.Folder, Method: sim.SetStored, MachineID: folder.MachineID}}
	for _, m := range []*machines.Machine{machines.Press("PRESS-01", 0), machines.Mill("MILL-01", 0), machines.Oven("OVEN-01", 0)} {
		machine := config.OPCUAMachine{MachineID: m.ID()}
		for _, r := range m.Readings() {
			node := config.OPCUANode{NodeID: fmt.Sprintf("ns=1;s=Plant/%s/%s", m.ID(), r.Name), Signal: r.Name, Unit: r.Unit}
			if r.Name == "State" {
				node.Map = map[string]string{
					"0": string(mes.Stopped), "1": string(mes.Running), "2": string(mes.Idle), "3": string(mes.Maintenance),
				}
			}
			machine.Nodes = append(machine.Nodes, node)
		}
		c.Machines = append(c.Machines, machine)
	}
	return c
}

// Free returns the address if nothing listens there, else one on the same host
// with a port that the system chooses.
func Free(address string) string {
	if address == "" {
		return ""
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		_ = l.Close()
		return address
	}
	host, _, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		return address // the listener's own error will tell
	}
	return net.JoinHostPort(host, "0")
}
