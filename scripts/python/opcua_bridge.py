#!/usr/bin/env python3
"""Publishes the values of an OPC UA server to an MQTT broker (contracts 3 and 4).

    opcua_bridge.py --endpoint opc.tcp://plc:55000 --host broker \\
        ns=1;s=Objects/MyFolder/MyStoredVariable \\
        ns=1;s=Objects/MyFolder/MySynchronousVariable \\
        ns=1;s=Objects/MyFolder/MyAsynchronousVariable

It subscribes to the nodes every 500 ms and publishes, with QoS 1,
  opc_data/all_variables  {"timestamp":"2025-11-03 06:45:23.966780",
                           "variables":{"MyStoredVariable":29,"MyAsynchronousVariable":null}}
      every value after each change; the time is that of what changed, and null means
      that there is no good value yet;
  opc_data/my_variable    {"node_id":"ns=1;s=Objects/MyFolder/MyStoredVariable",
                           "value":29,"timestamp":"2025-11-03 06:45:23.966780"}
      what changed; --single-topic '' leaves it out.
Times are source timestamps, in UTC, printed without an offset. The script connects
again for ever; while the broker is away it keeps 10,000 messages.

Environment: EDGE_OPCUA_ENDPOINT, EDGE_OPCUA_USERNAME, EDGE_OPCUA_PASSWORD,
EDGE_MQTT_HOST, EDGE_MQTT_PORT, EDGE_MQTT_USERNAME, EDGE_MQTT_PASSWORD, EDGE_MQTT_CACERT.
"""

import argparse
import asyncio
import itertools
import json
import logging
import math
import os
import re
from dataclasses import dataclass
from datetime import datetime, timezone

import asyncua
import paho.mqtt.client as mqtt

log = logging.getLogger("opcua_bridge")

DEFAULT_NODES = [
    f"ns=1;s=Objects/MyFolder/{name}"
    for name in ("MyStoredVariable", "MySynchronousVariable", "MyAsynchronousVariable")
]


def parse_args():
    env = os.environ.get
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--endpoint", default=env("EDGE_OPCUA_ENDPOINT", "opc.tcp://localhost:55000"))
    p.add_argument("--security", help="Policy,Mode,client-certificate,client-key[,server-certificate]")
    p.add_argument("--interval", type=float, default=500, metavar="MILLISECONDS")
    p.add_argument("--host", default=env("EDGE_MQTT_HOST", "localhost"))
    p.add_argument("--port", type=int, default=env("EDGE_MQTT_PORT", "1883"))
    p.add_argument("--username", default=env("EDGE_MQTT_USERNAME"))
    p.add_argument("--cacert", default=env("EDGE_MQTT_CACERT"))
    p.add_argument("--topic", default="opc_data/all_variables")
    p.add_argument("--single-topic", default="opc_data/my_variable")
    p.add_argument("nodes", nargs="*", default=DEFAULT_NODES, metavar="NODE_ID")
    return p.parse_args()


@dataclass(frozen=True)
class Change:
    """A new value of a node; the time is naive UTC, as contract 3 prints it."""

    node_id: str
    value: object
    time: datetime


def plain(value):
    """Returns a value that JSON has; what has no form there becomes text."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return [plain(v) for v in value] if isinstance(value, list) else str(value)


class Handler:
    """Takes notifications off asyncua's hands, and tells when the subscription ended."""

    def __init__(self, changes):
        self.changes = changes
        self.ended = asyncio.Event()

    def datachange_notification(self, node, value, data):
        dv = data.monitored_item.Value
        good = dv.StatusCode is None or dv.StatusCode.is_good()
        time = dv.SourceTimestamp or dv.ServerTimestamp or datetime.now(timezone.utc)
        if time.tzinfo:
            time = time.astimezone(timezone.utc).replace(tzinfo=None)
        self.changes.put_nowait(Change(node.nodeid.to_string(), plain(value) if good else None, time))

    def status_change_notification(self, status):
        log.warning("the server ended the subscription: %s", status)
        self.ended.set()


async def subscribe(args, changes):
    """Holds one connection to the OPC UA server until it breaks."""
    client = asyncua.Client(args.endpoint)
    if user := os.environ.get("EDGE_OPCUA_USERNAME"):
        client.set_user(user)
        client.set_password(os.environ.get("EDGE_OPCUA_PASSWORD", ""))
    if args.security:
        await client.set_security_string(args.security)
    async with client:
        handler = Handler(changes)
        subscription = await client.create_subscription(args.interval, handler)
        nodes = [client.get_node(n) for n in args.nodes]
        results = await subscription.subscribe_data_change(nodes, queuesize=100, sampling_interval=args.interval)
        for node_id, result in zip(args.nodes, results):
            if not isinstance(result, int):
                log.error("the server does not offer %s: %s", node_id, result)
        log.info("subscribed to %d nodes of %s", len(nodes), args.endpoint)
        while not handler.ended.is_set():
            await client.check_connection()  # raises when it is broken
            await asyncio.sleep(1)


async def subscribe_for_ever(args, changes):
    delay = 1
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await subscribe(args, changes)
        except (OSError, asyncio.TimeoutError, ConnectionError, asyncua.ua.UaError) as e:
            log.warning("no connection to %s: %s", args.endpoint, e or type(e).__name__)
        if asyncio.get_running_loop().time() - started > 30:
            delay = 1
        await asyncio.sleep(delay)
        delay = min(delay * 2, 15)


async def publish(args, changes, client):
    """Publishes what changed: one snapshot for all that changed at the same time."""
    names = {node_id: re.split(r"[/.]", node_id.split("=")[-1])[-1] for node_id in args.nodes}
    variables = dict.fromkeys(names.values())
    while True:
        batch = [await changes.get()]
        while not changes.empty():
            batch.append(changes.get_nowait())
        batch.sort(key=lambda c: c.time)
        for time, group in itertools.groupby(batch, key=lambda c: c.time):
            for change in group:
                variables[names.get(change.node_id, change.node_id)] = change.value
                if args.single_topic:
                    single = {"node_id": change.node_id, "value": change.value, "timestamp": str(time)}
                    client.publish(args.single_topic, json.dumps(single), qos=1)
            client.publish(args.topic, json.dumps({"timestamp": str(time), "variables": variables}), qos=1)


def connect_broker(args):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.max_queued_messages_set(10_000)
    client.reconnect_delay_set(1, 15)
    if args.username:
        client.username_pw_set(args.username, os.environ.get("EDGE_MQTT_PASSWORD"))
    if args.cacert:
        client.tls_set(args.cacert)
    client.on_connect = lambda _c, _u, _f, code, _p: log.info("broker: %s", code)
    client.connect_async(args.host, args.port, keepalive=30)
    client.loop_start()
    return client


async def main():
    args = parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what matters is logged here
    changes = asyncio.Queue()
    client = connect_broker(args)
    try:
        await asyncio.gather(subscribe_for_ever(args, changes), publish(args, changes, client))
    finally:
        client.disconnect()
        client.loop_stop()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
