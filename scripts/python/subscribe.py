#!/usr/bin/env python3
"""Prints what arrives on MQTT topics, one line a message: topic, QoS, payload.

    subscribe.py --host broker mes/production/data 'opc_data/#'
    subscribe.py --count 3 --timeout 20 'plant/+/+'

With --client-id the broker keeps messages of QoS 1 while the script is away.

Environment: EDGE_MQTT_HOST, EDGE_MQTT_PORT, EDGE_MQTT_USERNAME, EDGE_MQTT_PASSWORD,
EDGE_MQTT_CACERT (with it the connection is TLS).
Exit: 0 stopped or --count reached, 1 refused, 75 --timeout passed without enough.
"""

import argparse
import os
import sys
import threading

import paho.mqtt.client as mqtt


def parse_args():
    env = os.environ.get
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--host", default=env("EDGE_MQTT_HOST", "localhost"))
    p.add_argument("--port", type=int, default=env("EDGE_MQTT_PORT", "1883"))
    p.add_argument("--username", default=env("EDGE_MQTT_USERNAME"))
    p.add_argument("--cacert", default=env("EDGE_MQTT_CACERT"))
    p.add_argument("--client-id", default="", help="names a session that the broker keeps")
    p.add_argument("--qos", type=int, choices=[0, 1, 2], default=1)
    p.add_argument("--count", type=int, default=0, help="end after so many messages")
    p.add_argument("--timeout", type=float, default=None, metavar="SECONDS")
    p.add_argument("topics", nargs="*", default=["#"])
    return p.parse_args()


def main():
    args = parse_args()
    done, failure, seen = threading.Event(), [], 0

    def fail(text):
        failure.append(text)
        done.set()

    def on_connect(client, _userdata, _flags, code, _properties):
        if code.is_failure:
            fail(f"the broker refused: {code}")
            return
        # Here, so that a reconnect subscribes again.
        client.subscribe([(topic, args.qos) for topic in args.topics])

    def on_subscribe(_client, _userdata, _mid, codes, _properties):
        for topic, code in zip(args.topics, codes):
            if code.is_failure:
                fail(f"the broker refused the topic {topic}: {code}")
                return
        print(f"subscribed to {' '.join(args.topics)}", file=sys.stderr, flush=True)

    def on_message(_client, _userdata, message):
        nonlocal seen
        print(f"{message.topic} {message.qos} {message.payload.decode('utf-8', 'replace')}", flush=True)
        seen += 1
        if seen == args.count:
            done.set()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=args.client_id, clean_session=not args.client_id)
    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    if args.username:
        client.username_pw_set(args.username, os.environ.get("EDGE_MQTT_PASSWORD"))
    if args.cacert:
        client.tls_set(args.cacert)
    client.connect(args.host, args.port, keepalive=30)
    client.loop_start()
    try:
        in_time = done.wait(args.timeout)
    except KeyboardInterrupt:
        in_time = True
    finally:
        client.disconnect()
        client.loop_stop()
    if failure:
        sys.exit(f"subscribe.py: {failure[0]}")
    return 0 if in_time else 75


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as e:
        sys.exit(f"subscribe.py: {e}")
