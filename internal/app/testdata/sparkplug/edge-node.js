// An edge node of Sparkplug B by Eclipse Tahu's client for Node. It does what lines of
// JSON on its standard input say, answers rebirth commands with its births and devices,
// and writes a line for each of both. usage: edge-node.js URL USER PASSWORD NODE BDSEQ
"use strict";

const readline = require("readline");
const mqtt = require("mqtt");
const payload = require("sparkplug-payload").get("spBv1.0");
const sparkplug = require("sparkplug-client");

const [serverUrl, username, password, edgeNode, bdSeq] = process.argv.slice(2);

// The client makes its will of session 0 and with QoS 0: the specification wants the
// session's own number and QoS 1 (6.4.18).
const connect = mqtt.connect;
mqtt.connect = (url, options) => {
  const metrics = [{ name: "bdSeq", type: "UInt64", value: Number(bdSeq) }];
  options.will.payload = Buffer.from(payload.encodePayload({ timestamp: Date.now(), metrics }));
  options.will.qos = 1;
  return connect(url, options);
};
const client = sparkplug.newClient({
  serverUrl, username, password, edgeNode,
  groupId: "Plant 1", clientId: `edge-${edgeNode}`, keepalive: 2, publishDeath: true,
  mqttOptions: { reconnectPeriod: 0 },
});
client.bdSeq = Number(bdSeq);

let node = null; // the last births, which a rebirth repeats
const devices = new Map();

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

function birth() {
  client.publishNodeBirth({ timestamp: Date.now(), metrics: node.map((m) => ({ ...m })) });
  for (const [device, metrics] of devices) {
    client.publishDeviceBirth(device, { timestamp: Date.now(), metrics: metrics.map((m) => ({ ...m })) });
  }
}

const commands = {
  birth(c) {
    node = c.metrics;
    devices.clear();
    for (const [device, metrics] of Object.entries(c.devices || {})) devices.set(device, metrics);
    birth();
  },
  data: (c) => client.publishNodeData({ timestamp: c.at, metrics: c.metrics }),
  device: (c) => client.publishDeviceData(c.device, { timestamp: c.at, metrics: c.metrics }, { compress: c.compress }),
  death(c) {
    devices.delete(c.device);
    client.publishDeviceDeath(c.device, { timestamp: Date.now(), metrics: [] });
  },
  // A message that is lost on its way takes a sequence number along.
  skip: () => { client.incrementSeqNum(); },
  stop: () => client.stop(),
};

client.on("birth", () => say({ event: "connected" }));
client.on("ncmd", (payload) => {
  if (payload.metrics.some((m) => m.name === "Node Control/Rebirth" && m.value === true)) {
    if (node) birth();
    say({ event: "rebirth" });
  }
});
client.on("error", (e) => { say({ event: "error", detail: String(e) }); process.exit(1); });
client.on("close", () => process.exit(0));

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const c = JSON.parse(line);
  commands[c.do](c);
  say({ event: "done" });
});
