"""Publishes the JSON lines of standard input with Eclipse's paho-mqtt.

    publish.py HOST PORT USER PASSWORD CLIENT_ID TIMEOUT_SECONDS

Each line is {"topic": ..., "qos": 0 or 1, "payload": text}. It reconnects as
often as needed, and exits with 0 once every message is acknowledged (QoS 1) or
written (QoS 0).
"""

import json
import sys
import threading
import time

import paho.mqtt.client as mqtt

host, port, user, password, client_id, timeout = sys.argv[1:7]
messages = [json.loads(line) for line in sys.stdin if line.strip()]
connected = threading.Event()


def on_connect(client, userdata, flags, reason_code, properties):
    if reason_code.is_failure:
        sys.exit(f"refused: {reason_code}")
    connected.set()


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False
)
client.username_pw_set(user, password)
client.on_connect = on_connect
client.reconnect_delay_set(min_delay=1, max_delay=2)
client.connect(host, int(port), keepalive=10)
client.loop_start()
if not connected.wait(float(timeout)):
    sys.exit("no connection")

deadline = time.monotonic() + float(timeout)
pending = []
for message in messages:
    info = client.publish(message["topic"], message["payload"], qos=message["qos"])
    pending.append(info)
    # A machine does not send everything at once.
    while len(pending) > 100 and not pending[-100].is_published():
        if time.monotonic() > deadline:
            sys.exit("not acknowledged in time")
        time.sleep(0.001)
for info in pending:
    while not info.is_published():
        if time.monotonic() > deadline:
            sys.exit("not acknowledged in time")
        time.sleep(0.01)
client.disconnect()
client.loop_stop()
