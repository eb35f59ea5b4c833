"""A server of asyncua to look around in and to act on.

python explore_server.py PORT prints READY once clients may connect.
"""

import asyncio
import datetime
import logging
import sys
import uuid

from asyncua import Server, ua
from asyncua.common.methods import uamethod

URI = "urn:explore;100%"
MANY = 1_500

TYPES = {
    "Boolean": False,
    "SByte": 0,
    "Byte": 0,
    "Int16": 0,
    "UInt16": 0,
    "Int32": 0,
    "UInt32": 0,
    "Int64": 0,
    "UInt64": 0,
    "Float": 0.0,
    "Double": 0.0,
    "String": "",
    "DateTime": datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc),
    "Guid": uuid.UUID(int=0),
    "ByteString": b"\x00",
    "XmlElement": ua.XmlElement("<a/>"),
    "NodeId": ua.NodeId(1, 0),
    "StatusCode": ua.StatusCode(0),
    "QualifiedName": ua.QualifiedName("", 0),
    "LocalizedText": ua.LocalizedText("", ""),
}


async def add_nodes(server):
    await server.register_namespace("urn:something-else")
    ns = await server.register_namespace(URI)
    top = await server.nodes.objects.add_folder(ua.NodeId("Explore", ns), ua.QualifiedName("Explore", ns))

    async def add(name, value, kind, data_type=None, writable=True):
        node = await top.add_variable(ua.NodeId("Explore/" + name, ns), ua.QualifiedName(name, ns), value, kind, data_type)
        if writable:
            await node.set_writable()
        return node

    for name, value in TYPES.items():
        await add(name, value, ua.VariantType[name])
    await add("Int32Array", [1, 2], ua.VariantType.Int32)
    await add("StringArray", ["a"], ua.VariantType.String)
    await add("ByteArray", [1], ua.VariantType.Byte)
    await add("Matrix", [[1.0, 2.0], [3.0, 4.0]], ua.VariantType.Double)
    await add("ReadOnly", 5, ua.VariantType.Int32, writable=False)
    denied = await add("Denied", 5, ua.VariantType.Int32)
    await denied.unset_attr_bit(ua.AttributeIds.UserAccessLevel, ua.AccessLevel.CurrentWrite)
    await add("Number", 7, ua.VariantType.Int16, ua.NodeId(ua.ObjectIds.Number))

    enums = await server.get_node(ua.ObjectIds.Enumeration).add_data_type(ua.NodeId("ModeType", ns), ua.QualifiedName("ModeType", ns))
    await enums.add_property(
        ua.NodeId("ModeType/EnumStrings", ns),
        ua.QualifiedName("EnumStrings", 0),
        [ua.LocalizedText("Off"), ua.LocalizedText("Manual"), ua.LocalizedText("Automatic")],
    )
    await add("Mode", 0, ua.VariantType.Int32, enums.nodeid)
    levels = await server.get_node(ua.ObjectIds.Enumeration).add_data_type(ua.NodeId("LevelType", ns), ua.QualifiedName("LevelType", ns))
    await levels.add_property(
        ua.NodeId("LevelType/EnumValues", ns),
        ua.QualifiedName("EnumValues", 0),
        [ua.EnumValueType(10, ua.LocalizedText("Low"), ua.LocalizedText("")), ua.EnumValueType(20, ua.LocalizedText("High"), ua.LocalizedText(""))],
    )
    await add("Level", 10, ua.VariantType.Int32, levels.nodeid)

    @uamethod
    def total(_parent, factor, values):
        return ua.Variant(factor * sum(values), ua.VariantType.Int64), ua.Variant(f"{len(values)} values", ua.VariantType.String)

    def argument(name, data_type, rank):
        a = ua.Argument()
        a.Name, a.DataType, a.ValueRank = name, ua.NodeId(data_type), rank
        a.ArrayDimensions = [0] if rank == 1 else []
        return a

    await top.add_method(
        ua.NodeId("Explore/Sum", ns),
        ua.QualifiedName("Sum", ns),
        total,
        [argument("factor", ua.ObjectIds.Int64, -1), argument("values", ua.ObjectIds.Int32, 1)],
        [argument("sum", ua.ObjectIds.Int64, -1), argument("text", ua.ObjectIds.String, -1)],
    )

    @uamethod
    def reset(_parent):
        return ua.StatusCode(ua.StatusCodes.BadInvalidState)

    await top.add_method(ua.NodeId("Explore/Reset", ns), ua.QualifiedName("Reset", ns), reset, [], [])

    many = await top.add_folder(ua.NodeId("Explore/Many", ns), ua.QualifiedName("Many", ns))
    for i in range(MANY):
        await many.add_variable(ua.NodeId(f"Many/{i}", ns), ua.QualifiedName(f"V{i}", ns), i, ua.VariantType.Int32)


async def main(port):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await add_nodes(server)
    async with server:
        print("READY", flush=True)
        await asyncio.Event().wait()


logging.basicConfig(level=logging.ERROR)
asyncio.run(main(int(sys.argv[1])))
