"""OPC UA servers of another maker (asyncua) with the certificates of the test.

python asyncua_secure_server.py FOLDER NAME=PORT ... Each has FOLDER/NAME.pem and NAME.key, and
the application's URI urn:plc. They trust the clients in FOLDER/clients and the users in
FOLDER/users (DER), and the user plantgate with its password. It prints READY once clients may
connect.
"""

import asyncio
import logging
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions

P = ua.SecurityPolicyType
POLICIES = [
    P.NoSecurity,
    P.Basic256Sha256_Sign,
    P.Basic256Sha256_SignAndEncrypt,
    P.Aes128Sha256RsaOaep_Sign,
    P.Aes128Sha256RsaOaep_SignAndEncrypt,
    P.Aes256Sha256RsaPss_Sign,
    P.Aes256Sha256RsaPss_SignAndEncrypt,
]


def certificates(folder):
    return {file.read_bytes() for file in folder.iterdir()}


class Users:
    """Who may come in."""

    def __init__(self, known):
        self.known = known

    def get_user(self, iserver, username=None, password=None, certificate=None):
        if username is not None:
            good = (username, password) == ("plantgate", "correct horse")
        else:  # of an anonymous user it is the client's certificate
            good = certificate in self.known
        return User(role=UserRole.Admin) if good else None


class Clients(CertificateValidator):
    """Which clients may connect: those whose certificates are known, while they are valid."""

    def __init__(self, known):
        super().__init__(CertificateValidatorOptions.BASIC_VALIDATION | CertificateValidatorOptions.PEER_CLIENT)
        self.known = known

    async def validate(self, cert, app_description):
        await super().validate(cert, app_description)
        if cert.public_bytes(Encoding.DER) not in self.known:
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)


async def start(folder, name, port):
    clients = certificates(folder / "clients")
    server = Server(user_manager=Users(clients | certificates(folder / "users")))
    await server.init()
    await server.set_application_uri("urn:plc")
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy(POLICIES)
    await server.load_certificate(folder / f"{name}.pem")
    await server.load_private_key(folder / f"{name}.key", format="pem")
    server.set_certificate_validator(Clients(clients))
    objects = await server.nodes.objects.add_folder(ua.NodeId("Objects/MyFolder", 1), "1:MyFolder")
    node = ua.NodeId("Objects/MyFolder/MySynchronousVariable", 1)
    variable = await objects.add_variable(node, "1:MySynchronousVariable", 0, ua.VariantType.Int32)
    await server.start()
    return variable


async def main(folder, servers):
    variables = []
    for name, port in (s.split("=") for s in servers):
        variables.append(await start(folder, name, port))
    print("READY", flush=True)
    n = 0
    while True:
        await asyncio.sleep(0.2)
        n += 1
        for v in variables:
            await v.write_value(ua.Variant(n, ua.VariantType.Int32))


logging.basicConfig(level=logging.CRITICAL)
asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
