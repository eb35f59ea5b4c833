"""Publishes numbered messages with Eclipse's paho-mqtt, QoS 1, in a session that the
broker keeps.

    flood.py HOST PORT USER PASSWORD CLIENT_ID TOPIC COUNT FIRST TIMED PAUSE_MS

Each message is {"n": number}, with a timestamp if TIMED is 1. It reconnects as often as
needed. Its last line is {"acked": n, "resent": n} once each is acknowledged.
"""

import datetime
import json
import sys
import threading
import time

import paho.mqtt.client as mqtt

host, port, user, password, client_id, topic, count, first, timed, pause = sys.argv[1:11]
count, first, pause = int(count), int(first), float(pause) / 1000
window = threading.Semaphore(20)
acked = threading.Event()
sent = 0
done = 0


class Client(mqtt.Client):
    """Counts what is sent."""

    def _send_publish(self, *arguments, **named):
        global sent
        sent += 1
        return super()._send_publish(*arguments, **named)


def on_publish(client, userdata, mid, reason_code, properties):
    global done
    done += 1
    window.release()
    if done == count:
        acked.set()


client = Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
client.username_pw_set(user, password)
client.on_publish = on_publish
client.reconnect_delay_set(min_delay=1, max_delay=1)
client.connect(host, int(port), keepalive=10)
client.loop_start()
for n in range(first, first + count):
    message = {"n": n}
    if timed == "1":
        message["timestamp"] = datetime.datetime.now(datetime.timezone.utc).isoformat()
    window.acquire()
    client.publish(topic, json.dumps(message), qos=1)
    time.sleep(pause)
acked.wait()
print(json.dumps({"acked": done, "resent": sent - done}))
client.disconnect()
client.loop_stop()
