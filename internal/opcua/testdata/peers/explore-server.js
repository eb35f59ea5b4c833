// A server of node-opcua to look around in and to act on:
// node explore-server.js PORT FOLDER. It prints READY once clients may connect.
"use strict";

const path = require("node:path");
const {
  DataType,
  OPCUACertificateManager,
  OPCUAServer,
  StatusCodes,
  Variant,
  VariantArrayType,
  makeAccessLevelFlag,
  resolveNodeId,
} = require("node-opcua");

const TYPES = {
  Boolean: false,
  SByte: 0,
  Byte: 0,
  Int16: 0,
  UInt16: 0,
  Int32: 0,
  UInt32: 0,
  Int64: [0, 0],
  UInt64: [0, 0],
  Float: 0,
  Double: 0,
  String: "",
  DateTime: new Date(0),
  Guid: "00000000-0000-0000-0000-000000000000",
  ByteString: Buffer.from([0]),
  XmlElement: "<a/>",
  NodeId: resolveNodeId("ns=0;i=1"),
  StatusCode: StatusCodes.Good,
  QualifiedName: { namespaceIndex: 0, name: "" },
  LocalizedText: { locale: "", text: "" },
};

async function main(port, folder) {
  const certificates = new OPCUACertificateManager({
    automaticallyAcceptUnknownCertificate: true,
    rootFolder: path.join(folder, "pki"),
  });
  const server = new OPCUAServer({
    port,
    host: "127.0.0.1",
    serverCertificateManager: certificates,
    userCertificateManager: certificates,
    serverCapabilities: {
      maxBrowseContinuationPoints: 2,
      operationLimits: { maxNodesPerRead: 100, maxNodesPerWrite: 7, maxNodesPerBrowse: 10 },
    },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const own = space.getOwnNamespace();
  const top = own.addFolder("ObjectsFolder", { browseName: "Explore", nodeId: "s=Explore" });
  const add = (name, dataType, value, more) =>
    own.addVariable({
      componentOf: top,
      nodeId: `s=Explore/${name}`,
      browseName: name,
      dataType,
      value,
      minimumSamplingInterval: 100,
      ...more,
    });
  for (const [name, value] of Object.entries(TYPES)) {
    add(name, name, { dataType: DataType[name], arrayType: VariantArrayType.Scalar, value });
  }
  add("Int32Array", "Int32", { dataType: DataType.Int32, arrayType: VariantArrayType.Array, value: new Int32Array([1, 2]) }, { valueRank: 1 });
  add("StringArray", "String", { dataType: DataType.String, arrayType: VariantArrayType.Array, value: ["a"] }, { valueRank: 1 });
  add("ByteArray", "Byte", { dataType: DataType.Byte, arrayType: VariantArrayType.Array, value: new Uint8Array([1]) }, { valueRank: 1 });
  add(
    "Matrix",
    "Double",
    new Variant({ dataType: DataType.Double, arrayType: VariantArrayType.Matrix, dimensions: [2, 2], value: new Float64Array([1, 2, 3, 4]) }),
    { valueRank: 2, arrayDimensions: [2, 2] },
  );
  add("ReadOnly", "Int32", { dataType: DataType.Int32, value: 5 }, { accessLevel: makeAccessLevelFlag("CurrentRead"), userAccessLevel: makeAccessLevelFlag("CurrentRead") });
  add("Denied", "Int32", { dataType: DataType.Int32, value: 5 }, {
    accessLevel: makeAccessLevelFlag("CurrentRead | CurrentWrite"),
    userAccessLevel: makeAccessLevelFlag("CurrentRead"),
  });
  add("Number", "Number", { dataType: DataType.Int16, value: 7 });
  const mode = own.addEnumerationType({ browseName: "ModeType", enumeration: ["Off", "Manual", "Automatic"] });
  add("Mode", mode, { dataType: DataType.Int32, value: 0 });
  const levels = own.addEnumerationType({
    browseName: "LevelType",
    enumeration: [{ displayName: "Low", value: 10 }, { displayName: "High", value: 20 }],
  });
  add("Level", levels, { dataType: DataType.Int32, value: 10 });

  const sum = own.addMethod(top, {
    nodeId: "s=Explore/Sum",
    browseName: "Sum",
    inputArguments: [
      { name: "factor", dataType: DataType.Int64, valueRank: -1 },
      { name: "values", dataType: DataType.Int32, valueRank: 1, arrayDimensions: [0] },
    ],
    outputArguments: [
      { name: "sum", dataType: DataType.Int64, valueRank: -1 },
      { name: "text", dataType: DataType.String, valueRank: -1 },
    ],
  });
  sum.bindMethod((inputs, _context, done) => {
    const [high, low] = inputs[0].value;
    const factor = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    const total = BigInt.asUintN(64, inputs[1].value.reduce((a, b) => a + BigInt(b), 0n) * factor);
    done(null, {
      statusCode: StatusCodes.Good,
      outputArguments: [
        { dataType: DataType.Int64, arrayType: VariantArrayType.Scalar, value: [Number(total >> 32n), Number(total & 0xffffffffn)] },
        { dataType: DataType.String, value: `${inputs[1].value.length} values` },
      ],
    });
  });
  const reset = own.addMethod(top, { nodeId: "s=Explore/Reset", browseName: "Reset" });
  reset.bindMethod((_inputs, _context, done) => done(null, { statusCode: StatusCodes.BadInvalidState }));

  const many = own.addFolder(top, { browseName: "Many", nodeId: "s=Explore/Many" });
  for (let i = 0; i < 3000; i++) {
    own.addVariable({ componentOf: many, nodeId: `s=Many/${i}`, browseName: `V${i}`, dataType: "Int32", value: { dataType: DataType.Int32, value: i } });
  }
  await server.start();
  console.log("READY");
}

main(Number(process.argv[2]), process.argv[3]).catch((err) => {
  console.error(err);
  process.exit(1);
});
