#!/usr/bin/env python3
"""Publishes readings to an MQTT broker (contract 2).

    publish.py --host broker --machine M3 --value 42.31 --unit pcs
    publish.py --machine M3 --count 100 --every 0.5        # a drifting test value
    publish.py --topic opc_data/all_variables --message '{"variables":{"Level":3}}'

The envelope is {"DataType":"Production","Payload":{"MachineID":…,"Value":…,"Unit":…}}.
The script ends when the broker has acknowledged every message (QoS 1).

Environment: EDGE_MQTT_HOST, EDGE_MQTT_PORT, EDGE_MQTT_USERNAME, EDGE_MQTT_PASSWORD,
EDGE_MQTT_CACERT (with it the connection is TLS).
Exit: 0 acknowledged, 1 the broker refused or did not answer, 2 wrong usage.
"""

import argparse
import json
import os
import random
import sys
import threading
import time

import paho.mqtt.client as mqtt


def parse_args():
    env = os.environ.get
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--host", default=env("EDGE_MQTT_HOST", "localhost"))
    p.add_argument("--port", type=int, default=env("EDGE_MQTT_PORT", "1883"))
    p.add_argument("--username", default=env("EDGE_MQTT_USERNAME"))
    p.add_argument("--cacert", default=env("EDGE_MQTT_CACERT"))
    p.add_argument("--client-id", default="", help="default: a new one each time")
    p.add_argument("--topic", default="mes/production/data")
    p.add_argument("--qos", type=int, choices=[0, 1], default=1)
    p.add_argument("--data-type", choices=["Production", "Quality"], default="Production")
    p.add_argument("--machine", default="M001")
    p.add_argument("--value", type=float, help="default: a value that drifts about 42")
    p.add_argument("--unit")
    p.add_argument("--message", help="a payload as it is, instead of the envelope")
    p.add_argument("--count", type=int, default=1)
    p.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    p.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS")
    return p.parse_args()


def payload(args, drift):
    if args.message is not None:
        return args.message
    inner = {"MachineID": args.machine, "Value": args.value if args.value is not None else drift}
    if args.unit:
        inner["Unit"] = args.unit
    return json.dumps({"DataType": args.data_type, "Payload": inner})


def connect(args):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=args.client_id)
    if args.username:
        client.username_pw_set(args.username, os.environ.get("EDGE_MQTT_PASSWORD"))
    if args.cacert:
        client.tls_set(args.cacert)
    answered, reason = threading.Event(), []

    def on_connect(_client, _userdata, _flags, code, _properties):
        reason.append(code)
        answered.set()

    client.on_connect = on_connect
    client.connect(args.host, args.port, keepalive=30)
    client.loop_start()
    if not answered.wait(args.timeout):
        raise TimeoutError("the broker accepted no session")
    if reason[0].is_failure:
        raise ConnectionError(f"the broker refused: {reason[0]}")
    return client


def main():
    args = parse_args()
    client = connect(args)
    drift = 42.0
    try:
        for i in range(args.count):
            if i:
                time.sleep(args.every)
            drift = round(drift + random.uniform(-0.5, 0.5), 2)
            message = client.publish(args.topic, payload(args, drift), qos=args.qos)
            message.wait_for_publish(args.timeout)
            if not message.is_published():
                raise TimeoutError("the broker did not acknowledge")
    finally:
        client.disconnect()
        client.loop_stop()


if __name__ == "__main__":
    try:
        main()
    except (OSError, TimeoutError, RuntimeError, ValueError) as e:
        sys.exit(f"publish.py: {e}")
