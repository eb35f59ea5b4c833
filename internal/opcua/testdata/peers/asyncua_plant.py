"""A plant behind an OPC UA server of another maker (asyncua), for tests of addresses.

python asyncua_plant.py PORT FIRST SECOND prints READY once clients may connect. FIRST and
SECOND are the URIs of two namespaces, in the order in which the server has them: urn:plant
has the machines. What is written to Command is done: "add NAME" makes a machine, "remove
NAME" takes it away.
"""

import asyncio
import logging
import sys

from asyncua import Server, ua


class Plant:
    """Machines that come and go, each with a ramp."""

    def __init__(self, server, index):
        self.server, self.index = server, index
        self.folder, self.mode, self.machines = None, None, {}

    async def begin(self):
        self.folder = await self.server.nodes.objects.add_folder(self.index, "Machines")
        self.mode = await self.server.nodes.enum_data_type.add_data_type(self.index, "ModeType")
        texts = [ua.LocalizedText(t) for t in ("Off", "Setup", "Producing")]
        await self.mode.add_property(0, "EnumStrings", texts)
        for i in range(1, 7):
            await self.add(f"M{i}")
        name = ua.QualifiedName("Command", self.index)
        self.command = await self.folder.add_variable(ua.NodeId("Command", self.index), name, "")
        await self.command.set_writable()

    async def add(self, name):
        machine = await self.folder.add_object(ua.NodeId(name, self.index), ua.QualifiedName(name, self.index))
        status = await machine.add_object(self.index, "Status")

        async def variable(key, value, kind, data_type=None):
            node_id = ua.NodeId(f"{name}/{key}", self.index)
            return await status.add_variable(node_id, ua.QualifiedName(key, self.index), value, kind, data_type)

        speed = await variable("Speed", 0.0, ua.VariantType.Double)
        await speed.add_property(0, "EURange", ua.Range(0, 200))
        plain = await variable("Plain", 0.0, ua.VariantType.Double)
        good = await variable("Good", 0, ua.VariantType.UInt32)
        mode = await variable("Mode", 2, ua.VariantType.Int32, self.mode.nodeid)
        await status.add_reference(self.folder, ua.ObjectIds.Organizes)
        self.machines[name] = (speed, plain, good), (speed, plain, good, mode, status, machine)

    async def remove(self, name):
        await self.server.delete_nodes(self.machines.pop(name)[1], recursive=False)

    async def step(self, ramp):
        for (speed, plain, good), _ in self.machines.values():
            # Small moves, and a jump every tenth.
            await speed.write_value(ua.Variant(ramp // 10 * 10 + ramp % 10 / 10, ua.VariantType.Double))
            await plain.write_value(ua.Variant(ramp / 4, ua.VariantType.Double))
            await good.write_value(ua.Variant(ramp, ua.VariantType.UInt32))
        words = (await self.command.read_value()).split()
        if words:
            await self.command.write_value("")
            await {"add": self.add, "remove": self.remove}[words[0]](words[1])


async def main(port, uris):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    for uri in uris:
        await server.register_namespace(uri)
    plant = Plant(server, await server.get_namespace_index("urn:plant"))
    await plant.begin()
    async with server:
        print("READY", flush=True)
        ramp = 0
        while True:
            await asyncio.sleep(0.05)
            ramp += 1
            await plant.step(ramp)


logging.basicConfig(level=logging.ERROR)
asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
