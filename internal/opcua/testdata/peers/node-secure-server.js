// OPC UA servers of another maker (node-opcua) with the certificates of the test:
// node node-secure-server.js FOLDER NAME=PORT ... Each has FOLDER/NAME.pem and NAME.key, and
// the application's URI urn:plc. They trust the clients in FOLDER/clients and the users in
// FOLDER/users (DER), and the user plantgate with its password. It prints READY once clients
// may connect.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { DataType, MessageSecurityMode, OPCUACertificateManager, OPCUAServer, SecurityPolicy } = require("node-opcua");

async function trusting(folder, root, certificates) {
  const manager = new OPCUACertificateManager({ automaticallyAcceptUnknownCertificate: false, rootFolder: path.join(folder, root), disableFileWatchers: true });
  await manager.initialize();
  for (const name of fs.readdirSync(path.join(folder, certificates))) {
    await manager.trustCertificate(fs.readFileSync(path.join(folder, certificates, name)));
  }
  return manager;
}

async function start(folder, name, port, serverCertificateManager, userCertificateManager) {
  const server = new OPCUAServer({
    port,
    host: "127.0.0.1",
    serverInfo: { applicationUri: "urn:plc", applicationName: { text: "PLC" } },
    certificateFile: path.join(folder, `${name}.pem`),
    privateKeyFile: path.join(folder, `${name}.key`),
    serverCertificateManager,
    userCertificateManager,
    securityPolicies: [SecurityPolicy.None, SecurityPolicy.Basic256Sha256, SecurityPolicy.Aes128_Sha256_RsaOaep, SecurityPolicy.Aes256_Sha256_RsaPss],
    securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
    allowAnonymous: true,
    maxConnectionsPerEndpoint: 100,
    serverCapabilities: { maxSessions: 100 },
    userManager: { isValidUser: (user, password) => user === "plantgate" && password === "correct horse" },
  });
  await server.initialize();
  const own = server.engine.addressSpace.getOwnNamespace();
  const variable = own.addVariable({
    componentOf: own.addFolder("ObjectsFolder", { browseName: "MyFolder" }),
    nodeId: "s=Objects/MyFolder/MySynchronousVariable",
    browseName: "MySynchronousVariable",
    dataType: "Int32",
    value: { dataType: DataType.Int32, value: 0 },
  });
  let n = 0;
  setInterval(() => variable.setValueFromSource({ dataType: DataType.Int32, value: ++n }), 200);
  await server.start();
}

async function main(folder, servers) {
  const clients = await trusting(folder, "pki-clients", "clients");
  const users = await trusting(folder, "pki-users", "users");
  for (const s of servers) {
    const [name, port] = s.split("=");
    await start(folder, name, Number(port), clients, users);
  }
  console.log("READY");
}

main(process.argv[2], process.argv.slice(3)).catch((err) => {
  console.error(err);
  process.exit(1);
});
