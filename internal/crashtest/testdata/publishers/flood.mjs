// Publishes numbered messages with MQTT.js, QoS 1, in a session that the broker keeps.
//
//   node flood.mjs HOST PORT USER PASSWORD CLIENT_ID TOPIC COUNT FIRST TIMED PAUSE_MS
//
// Each message is {"n": number}, with a timestamp if TIMED is 1. It reconnects as often
// as needed. Its last line is {"acked": n, "resent": n} once each is acknowledged.

import mqtt from 'mqtt';

const [host, port, username, password, clientId, topic, count, first, timed, pause] = process.argv.slice(2);
const client = mqtt.connect(`mqtt://${host}:${port}`, {
  username, password, clientId, clean: false, reconnectPeriod: 200, connectTimeout: 5000, keepalive: 10,
});
client.on('error', (error) => console.error(String(error)));
let sent = 0;
client.on('packetsend', (packet) => { if (packet.cmd === 'publish') sent++; });

const window = 20;
let next = 0, acked = 0, waiting = 0;
function more() {
  while (waiting < window && next < Number(count)) {
    const message = { n: Number(first) + next++ };
    if (timed === '1') message.timestamp = new Date().toISOString();
    waiting++;
    client.publish(topic, JSON.stringify(message), { qos: 1 }, (error) => {
      if (error) { console.error(String(error)); process.exit(1); }
      waiting--;
      if (++acked === Number(count)) {
        console.log(JSON.stringify({ acked, resent: sent - acked }));
        client.end(true, {}, () => process.exit(0));
      }
    });
    if (Number(pause) > 0) { setTimeout(more, Number(pause)); return; }
  }
  if (Number(pause) === 0) setTimeout(more, 1);
  else if (next < Number(count)) setTimeout(more, Number(pause));
}
client.once('connect', more);
