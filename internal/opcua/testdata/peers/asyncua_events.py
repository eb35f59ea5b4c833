"""A server of another maker (asyncua) that tells events, and conditions as far as it has them.

python asyncua_events.py PORT prints READY once clients may connect, and does what the lines of
its standard input say: "event TEXT" tells a SystemEventType, "door TEXT" one of a type of its
own, "alarm on" and "alarm off" an alarm that is active, or no more.
"""

import asyncio
import logging
import sys

from asyncua import Server, ua

NAMESPACE = "urn:alarms"


async def main(port):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    press = await server.nodes.objects.add_object(ua.NodeId("Press", index), f"{index}:Press")
    door_type = await server.create_custom_event_type(index, "DoorEventType", ua.ObjectIds.SystemEventType, [])
    plain = await server.get_event_generator(ua.ObjectIds.SystemEventType, server.nodes.server)
    door = await server.get_event_generator(door_type, server.nodes.server)
    alarm = await server.get_event_generator(ua.ObjectIds.AlarmConditionType, server.nodes.server)
    alarm.event.ConditionName = "Overheat"
    alarm.event.SourceName = "Press"
    alarm.event.SourceNode = press.nodeid
    alarm.event.NodeId = ua.NodeId("Press/Overheat", index)
    alarm.event.BranchId = ua.NodeId()

    async def tell(generator, text, severity=300):
        generator.event.Severity = severity
        generator.event.Message = ua.LocalizedText(text)
        await generator.trigger()

    async def obey():
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            verb, _, rest = line.strip().partition(" ")
            if verb == "event":
                await tell(plain, rest)
            if verb == "quiet":
                await tell(plain, rest, 10)
            if verb == "door":
                await tell(door, rest)
            if verb == "alarm":
                active = rest == "on"
                alarm.event.Retain = active
                setattr(alarm.event, "ActiveState/Id", active)
                setattr(alarm.event, "AckedState/Id", False)
                setattr(alarm.event, "EnabledState/Id", True)
                await tell(alarm, "too hot" if active else "cool again", 800)
            print("done", line.strip(), flush=True)

    async with server:
        print("READY", flush=True)
        await obey()


logging.basicConfig(level=logging.ERROR)
asyncio.run(main(int(sys.argv[1])))
