// An OPC UA server of another maker (node-opcua) for the integration tests:
// node node-server.js PORT FOLDER [strict|few]. FOLDER keeps its certificates; strict
// trusts no client that it does not know; few allows two sessions. It prints READY once
// clients may connect. The lines "delete" and "create" on its standard input remove the
// stored variable and make it anew; "sessions" prints how many there are.
"use strict";

const path = require("node:path");
const readline = require("node:readline");
const {
  DataType,
  OPCUACertificateManager,
  OPCUAServer,
  MessageSecurityMode,
  SecurityPolicy,
  StatusCodes,
  Variant,
  VariantArrayType,
} = require("node-opcua");

async function main(port, folder, strict, maxSessions) {
  const certificates = new OPCUACertificateManager({
    automaticallyAcceptUnknownCertificate: !strict,
    rootFolder: path.join(folder, "pki"),
  });
  const server = new OPCUAServer({
    port,
    host: "127.0.0.1",
    serverCertificateManager: certificates,
    userCertificateManager: certificates,
    securityPolicies: [
      SecurityPolicy.None,
      SecurityPolicy.Basic256Sha256,
      SecurityPolicy.Aes128_Sha256_RsaOaep,
      SecurityPolicy.Aes256_Sha256_RsaPss,
    ],
    securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
    allowAnonymous: true,
    ...(maxSessions && { serverCapabilities: { maxSessions } }),
    userManager: { isValidUser: (user, password) => user === "plantgate" && password === "correct horse" },
  });
  await server.initialize();
  addNodes(server.engine);
  await server.start();
  console.log("READY");
}

function addNodes(engine) {
  const addressSpace = engine.addressSpace;
  const own = addressSpace.getOwnNamespace();
  const folder = own.addFolder("ObjectsFolder", { browseName: "MyFolder" });
  const add = (id, dataType, value, more) =>
    own.addVariable({
      componentOf: folder,
      nodeId: `s=${id}`,
      browseName: id.split("/").pop(),
      dataType,
      value: { dataType: DataType[dataType], arrayType: VariantArrayType.Scalar, value },
      ...more,
    });
  let stored = add("Objects/MyFolder/MyStoredVariable", "Int32", 29);
  let value = 29;
  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    if (line === "delete") addressSpace.deleteNode(stored);
    if (line === "create") stored = add("Objects/MyFolder/MyStoredVariable", "Int32", ++value);
    if (line === "undecodable") undecodable();
    if (line === "sessions") console.log(`sessions ${engine.currentSessionCount}`);
    console.log(`done ${line}`);
  });
  const synchronous = add("Objects/MyFolder/MySynchronousVariable", "Int32", 0);
  const asynchronous = add("Objects/MyFolder/MyAsynchronousVariable", "Int32", 0, {
    value: { dataType: DataType.Null },
  });
  let n = 0;
  setInterval(() => {
    n++;
    synchronous.setValueFromSource({ dataType: DataType.Int32, value: n });
    if (n > 20) asynchronous.setValueFromSource({ dataType: DataType.Int32, value: n });
  }, 200);

  const undecodable = addHistory(addressSpace, add);

  add("Types/Boolean", "Boolean", true);
  add("Types/SByte", "SByte", -128);
  add("Types/Byte", "Byte", 255);
  add("Types/Int16", "Int16", -32768);
  add("Types/UInt16", "UInt16", 65535);
  add("Types/Int32", "Int32", -2147483648);
  add("Types/UInt32", "UInt32", 4294967295);
  add("Types/Int64", "Int64", [0x80000000, 0]);
  add("Types/UInt64", "UInt64", [0xffffffff, 0xffffffff]);
  add("Types/Float", "Float", 0.1);
  add("Types/Double", "Double", 1e300);
  add("Types/String", "String", "Grüße");
  add("Types/DateTime", "DateTime", new Date("2026-11-22T10:15:00.250Z"));
  add("Types/Guid", "Guid", "72962B91-FA75-4AE6-8D28-B404DC7DAF63");
  add("Types/ByteString", "ByteString", Buffer.from([0, 1, 254]));
  add("Types/LocalizedText", "LocalizedText", { locale: "de", text: "Ofen" });
  add("Types/Array", "Int32", 0, {
    valueRank: 1,
    value: new Variant({ dataType: DataType.Int32, arrayType: VariantArrayType.Array, value: new Int32Array([1, -2, 3]) }),
  });
  const uncertain = add("Types/Uncertain", "Double", 1.5);
  uncertain.setValueFromSource({ dataType: DataType.Double, value: 1.5 }, StatusCodes.UncertainLastUsableValue);
  const bad = add("Types/Bad", "Double", 0);
  bad.setValueFromSource({ dataType: DataType.Null }, StatusCodes.BadSensorFailure);
}

// addHistory makes counters that change ten times a second and whose values are kept, until
// the server ends. It returns what puts into the history of another node an array that is
// longer than the client library takes.
function addHistory(addressSpace, add) {
  const counters = [];
  for (let i = 0; i < 4; i++) {
    const counter = add(`History/Counter${i}`, "Int32", 0);
    addressSpace.installHistoricalDataNode(counter, { maxOnlineValues: 1000000 });
    counters.push(counter);
  }
  let n = 0;
  setInterval(() => {
    n++;
    for (const counter of counters) counter.setValueFromSource({ dataType: DataType.Int32, value: n });
  }, 100);
  const mixed = add("History/Mixed", "Int32", 1, { valueRank: -2 });
  addressSpace.installHistoricalDataNode(mixed, { maxOnlineValues: 1000 });
  return () => {
    const arrayType = VariantArrayType.Array;
    mixed.setValueFromSource({ dataType: DataType.Int32, arrayType, value: new Int32Array(1_100_000) });
    setTimeout(() => mixed.setValueFromSource({ dataType: DataType.Int32, value: 2 }), 50);
  };
}

main(Number(process.argv[2]), process.argv[3], process.argv[4] === "strict", process.argv[4] === "few" ? 2 : 0).catch((err) => {
  console.error(err);
  process.exit(1);
});
