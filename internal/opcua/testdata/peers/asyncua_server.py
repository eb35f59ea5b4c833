"""An OPC UA server of another maker (asyncua) for the integration tests.

python asyncua_server.py PORT prints READY once clients may connect. The lines "delete" and
"create" on its standard input remove the stored variable and make it anew.
"""

import asyncio
import datetime
import logging
import sys
import uuid

from asyncua import Server, ua

CONTRACT = "Objects/MyFolder/"

TYPES = {
    "Boolean": (True, ua.VariantType.Boolean),
    "SByte": (-128, ua.VariantType.SByte),
    "Byte": (255, ua.VariantType.Byte),
    "Int16": (-32768, ua.VariantType.Int16),
    "UInt16": (65535, ua.VariantType.UInt16),
    "Int32": (-2147483648, ua.VariantType.Int32),
    "UInt32": (4294967295, ua.VariantType.UInt32),
    "Int64": (-9223372036854775808, ua.VariantType.Int64),
    "UInt64": (18446744073709551615, ua.VariantType.UInt64),
    "Float": (0.1, ua.VariantType.Float),
    "Double": (1e300, ua.VariantType.Double),
    "String": ("Grüße", ua.VariantType.String),
    "DateTime": (
        datetime.datetime(2026, 11, 22, 10, 15, 0, 250000, tzinfo=datetime.timezone.utc),
        ua.VariantType.DateTime,
    ),
    "Guid": (uuid.UUID("72962B91-FA75-4AE6-8D28-B404DC7DAF63"), ua.VariantType.Guid),
    "ByteString": (b"\x00\x01\xfe", ua.VariantType.ByteString),
    "LocalizedText": (ua.LocalizedText("Ofen", "de"), ua.VariantType.LocalizedText),
    "Array": ([1, -2, 3], ua.VariantType.Int32),
}


async def add_nodes(server):
    folder = await server.nodes.objects.add_folder(ua.NodeId("Objects/MyFolder", 1), "1:MyFolder")

    async def add(name, value, kind):
        browse_name = "1:" + name.rsplit("/", 1)[1]
        data_type = ua.NodeId(ua.ObjectIds.Int32) if kind == ua.VariantType.Null else None
        return await folder.add_variable(ua.NodeId(name, 1), browse_name, value, kind, data_type)

    stored = await add(CONTRACT + "MyStoredVariable", 29, ua.VariantType.Int32)
    synchronous = await add(CONTRACT + "MySynchronousVariable", 0, ua.VariantType.Int32)
    asynchronous = await add(CONTRACT + "MyAsynchronousVariable", None, ua.VariantType.Null)
    for name, (value, kind) in TYPES.items():
        await add("Types/" + name, value, kind)
    now = datetime.datetime.now(datetime.timezone.utc)
    uncertain = await add("Types/Uncertain", 1.5, ua.VariantType.Double)
    await uncertain.write_value(
        ua.DataValue(
            ua.Variant(1.5, ua.VariantType.Double),
            ua.StatusCode(ua.StatusCodes.UncertainLastUsableValue),
            SourceTimestamp=now,
        )
    )
    bad = await add("Types/Bad", 0.0, ua.VariantType.Double)
    await bad.write_value(
        ua.DataValue(ua.Variant(), ua.StatusCode(ua.StatusCodes.BadSensorFailure), SourceTimestamp=now)
    )
    counters = [await add(f"History/Counter{i}", 0, ua.VariantType.Int32) for i in range(4)]
    return synchronous, asynchronous, obey(server, folder, stored), keep_history(server, counters)


async def keep_history(server, counters):
    """Has counters change ten times a second and keeps their values until the server ends."""
    await server.historize_node_data_change(counters, period=None)
    n = 0
    while True:
        await asyncio.sleep(0.1)
        n += 1
        for counter in counters:
            await counter.write_value(ua.Variant(n, ua.VariantType.Int32))


async def obey(server, folder, stored):
    """Does what the lines of the standard input say."""
    loop = asyncio.get_running_loop()
    value = 29
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() == "delete":
            await server.delete_nodes([stored])
        if line.strip() == "create":
            value += 1
            name = CONTRACT + "MyStoredVariable"
            stored = await folder.add_variable(ua.NodeId(name, 1), "1:MyStoredVariable", value, ua.VariantType.Int32)
        print("done", line.strip(), flush=True)


async def main(port):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    synchronous, asynchronous, obeying, history = await add_nodes(server)
    async with server, asyncio.TaskGroup() as tasks:
        tasks.create_task(obeying)
        tasks.create_task(history)
        print("READY", flush=True)
        n = 0
        while True:
            await asyncio.sleep(0.2)
            n += 1
            await synchronous.write_value(ua.Variant(n, ua.VariantType.Int32))
            if n > 20:
                await asynchronous.write_value(ua.Variant(n, ua.VariantType.Int32))


logging.basicConfig(level=logging.ERROR)
asyncio.run(main(int(sys.argv[1])))
