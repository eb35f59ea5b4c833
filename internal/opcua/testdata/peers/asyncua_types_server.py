"""An OPC UA server of another maker (asyncua) with a variable of every type.

python asyncua_types_server.py PORT prints READY once clients may connect. What it serves
stands in opcua_types_integration_test.go of internal/app, with what must come of it.
"""

import asyncio
import datetime
import logging
import math
import sys
import uuid

from asyncua import Server, ua
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field

T = ua.VariantType
AT = datetime.datetime(2026, 11, 22, 10, 15, 0, 123456, tzinfo=datetime.timezone.utc)
UTC = datetime.timezone.utc

SCALARS = {
    "Boolean": (True, T.Boolean),
    "SByte": (-128, T.SByte),
    "Byte": (255, T.Byte),
    "Int16": (-32768, T.Int16),
    "UInt16": (65535, T.UInt16),
    "Int32": (-2147483648, T.Int32),
    "UInt32": (4294967295, T.UInt32),
    "Int64": (-9223372036854775808, T.Int64),
    "UInt64": (18446744073709551615, T.UInt64),
    "Float": (0.1, T.Float),
    "Double": (5e-324, T.Double),
    "NaN": (math.nan, T.Double),
    "Infinity": (math.inf, T.Double),
    "NegativeInfinity": (-math.inf, T.Float),
    "String": ("Grüße \"\\\t\U0001f600", T.String),
    "DateTime": (datetime.datetime(2026, 11, 22, 10, 15, 0, 250001, tzinfo=UTC), T.DateTime),
    "DateTimeEarly": (datetime.datetime(1605, 1, 2, 3, 4, 5, 6, tzinfo=UTC), T.DateTime),
    "DateTimeLate": (datetime.datetime(2999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), T.DateTime),
    "DateTimeMax": (datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), T.DateTime),
    "Guid": (uuid.UUID("72962B91-FA75-4AE6-8D28-B404DC7DAF63"), T.Guid),
    "ByteString": (b"\x00\x01\xfe", T.ByteString),
    "XmlElement": (ua.XmlElement("<a>1</a>"), T.XmlElement),
    "NodeId": (ua.NodeId("a;b", 2), T.NodeId),
    "ExpandedNodeId": (ua.ExpandedNodeId("x", 0, NamespaceUri="urn:other", ServerIndex=1), T.ExpandedNodeId),
    "StatusCode": (ua.StatusCode(0x800A0000), T.StatusCode),
    "QualifiedName": (ua.QualifiedName("q", 2), T.QualifiedName),
    "LocalizedText": (ua.LocalizedText("Ofen", "de"), T.LocalizedText),
    "Arrays/Boolean": ([True, False], T.Boolean),
    "Arrays/Byte": ([0, 255], T.Byte),
    "Arrays/Int64": ([-9223372036854775808, 9223372036854775807], T.Int64),
    "Arrays/UInt64": ([18446744073709551615], T.UInt64),
    "Arrays/Double": ([1.5, math.nan, -math.inf], T.Double),
    "Arrays/String": (["a", "", "ö"], T.String),
    "Arrays/DateTime": ([datetime.datetime(2026, 1, 1, tzinfo=UTC)], T.DateTime),
    "Arrays/Guid": ([uuid.UUID(int=1)], T.Guid),
    "Arrays/ByteString": ([b"\x00", b"\xff"], T.ByteString),
    "Arrays/LocalizedText": ([ua.LocalizedText("a", "en")], T.LocalizedText),
    "Arrays/Variant": ([ua.Variant(1, T.Int32), ua.Variant("a", T.String)], T.Variant),
    "Arrays/Empty": ([], T.Int32),
}


async def main(port):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    folder = await server.nodes.objects.add_folder(ua.NodeId("Types", 1), "1:Types")

    async def add(name, variant, status=0, data_type=None, at=AT):
        node = await folder.add_variable(ua.NodeId("Types/" + name, 1), "1:" + name.replace("/", ""), variant, datatype=data_type)
        await node.write_value(ua.DataValue(variant, ua.StatusCode(status), SourceTimestamp=at))
        return node

    for name, (value, kind) in SCALARS.items():
        data_type = ua.NodeId(ua.ObjectIds.BaseDataType) if kind == T.Variant else None
        await add(name, ua.Variant(value, kind, is_array=isinstance(value, list)), data_type=data_type)
    await add("Matrix", ua.Variant([1, 2, 3, 4, 5, 6], T.Int32, Dimensions=[2, 3]))
    await add("Cube", ua.Variant([float(i) for i in range(8)], T.Double, Dimensions=[2, 2, 2]))
    await add("Uncertain", ua.Variant(1.5, T.Double), ua.StatusCodes.UncertainLastUsableValue)
    await add("UncertainLimit", ua.Variant(2.5, T.Double), 0x40540501)
    await add("Bad", ua.Variant(3.5, T.Double), ua.StatusCodes.BadSensorFailure)
    await add("BadNull", ua.Variant(), ua.StatusCodes.BadNotConnected, ua.NodeId(ua.ObjectIds.Double))

    mode = await new_enum(server, 1, "Mode", ["Off", "Manual", "Automatic"])
    point, _ = await new_struct(server, 1, "Point", [
        new_struct_field("X", T.Double),
        new_struct_field("Y", T.Double),
    ])
    part, _ = await new_struct(server, 1, "Part", [
        new_struct_field("Serial", T.UInt64),
        new_struct_field("Name", T.String, optional=True),
        new_struct_field("Weight", T.Double, optional=True),
        new_struct_field("At", point),
        new_struct_field("Path", point, array=True),
        new_struct_field("Mode", mode),
        new_struct_field("Made", T.DateTime),
        new_struct_field("Codes", T.Int64, array=True),
        new_struct_field("Any", T.Variant),
    ])
    choice, _ = await new_struct(server, 1, "Choice", [
        new_struct_field("Number", T.Int32),
        new_struct_field("Text", T.String),
    ], is_union=True)
    await new_struct(server, 1, "Late", [new_struct_field("Z", T.Double)])
    await server.load_data_type_definitions()
    await add("Enum", ua.Variant(2, T.Int32), data_type=mode.nodeid)
    await add("EnumUnknown", ua.Variant(7, T.Int32), data_type=mode.nodeid)
    await add("Enums", ua.Variant([1, 0], T.Int32), data_type=mode.nodeid)
    states = [ua.LocalizedText(text, "en") for text in ("Red", "Amber", "Green")]
    await (await add("MultiState", ua.Variant(1, T.UInt32))).add_property(ua.NodeId("MultiState.EnumStrings", 1), "0:EnumStrings", states)
    two = await add("TwoState", ua.Variant(True, T.Boolean))
    await two.add_property(ua.NodeId("TwoState.TrueState", 1), "0:TrueState", ua.LocalizedText("Open", "en"))
    await two.add_property(ua.NodeId("TwoState.FalseState", 1), "0:FalseState", ua.LocalizedText("Closed", "en"))
    await add("ServerState", ua.Variant(4, T.Int32), data_type=ua.NodeId(ua.ObjectIds.ServerState))
    one = ua.Part(Serial=18446744073709551615, Weight=0.5, At=ua.Point(1.0, -2.0), Path=[ua.Point(0.0, math.nan), ua.Point(3.0, 4.0)],
                  Mode=ua.Mode.Manual, Made=datetime.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), Codes=[-1, 9223372036854775807],
                  Any=ua.Variant("free", T.String))
    await add("Structure", ua.Variant(one, T.ExtensionObject), data_type=part.nodeid)
    await add("Structures", ua.Variant([ua.Point(1.0, 2.0), ua.Point(3.0, 4.0)], T.ExtensionObject), data_type=point.nodeid)
    await add("BadStructure", ua.Variant(), ua.StatusCodes.BadNoCommunication, point.nodeid)
    await add("Abstract", ua.Variant(ua.Point(5.0, 6.0), T.ExtensionObject), data_type=ua.NodeId(ua.ObjectIds.Structure))
    union = ua.Choice()
    union.Text = "chosen"
    await add("Union", ua.Variant(union, T.ExtensionObject), data_type=choice.nodeid)
    await add("Range", ua.Variant(ua.Range(-1.5, 100.25), T.ExtensionObject))
    await add("EUInformation", ua.Variant(ua.EUInformation("http://www.opcfoundation.org/UA/units/un/cefact", 4408652,
                                                           ua.LocalizedText("°C", "en"), ua.LocalizedText("degree Celsius", "en")), T.ExtensionObject))
    # What must not be stored, or not without a flag.
    unknown = ua.ExtensionObject(ua.NodeId(9999, 1), b"\x01\x02\xfe")
    await add("Refused/Unknown", ua.Variant(unknown, T.ExtensionObject), data_type=ua.NodeId(ua.ObjectIds.Structure))
    await add("Refused/EmptyMatrix", ua.Variant([], T.Int32, Dimensions=[0, 3]))
    await add("Arrays/Long", ua.Variant([7] * 100000, T.Byte, is_array=True))
    now = datetime.datetime.now(UTC)
    await add("Ahead/Far", ua.Variant(1, T.Int32), at=now + datetime.timedelta(hours=1))
    await add("Ahead/Near", ua.Variant(1, T.Int32), at=now + datetime.timedelta(minutes=2))
    await add("Ahead/BeyondLibrary", ua.Variant(1, T.Int32), at=datetime.datetime(2600, 1, 1, tzinfo=UTC))
    # A variable that gets a value of a type that nobody knew when it was subscribed to.
    late = await folder.add_variable(ua.NodeId("Types/Late", 1), "1:Late", ua.Variant(), datatype=ua.NodeId(ua.ObjectIds.Structure))
    async with server:
        print("READY", flush=True)
        while not server.iserver.subscription_service.subscriptions:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.5)
        value = ua.Variant(ua.Late(7.5), T.ExtensionObject)
        await late.write_value(ua.DataValue(value, ua.StatusCode(), SourceTimestamp=AT))
        await asyncio.Event().wait()


logging.basicConfig(level=logging.ERROR)
asyncio.run(main(int(sys.argv[1])))
