// An OPC UA server of another maker (node-opcua) with a variable of every type:
// node node-types-server.js PORT FOLDER. It prints READY once clients may connect. What
// it serves stands in opcua_types_integration_test.go of internal/app, with what must come
// of it.
"use strict";

const path = require("node:path");
const {
  coerceNodeId,
  DataType,
  ensureDatatypeExtracted,
  ExpandedNodeId,
  NodeIdType,
  OPCUACertificateManager,
  OPCUAServer,
  QualifiedName,
  Range,
  StatusCodes,
  Variant,
  VariantArrayType,
} = require("node-opcua");

const AT = new Date("2026-11-22T10:15:00.123Z");
const { Scalar, Array: List, Matrix } = VariantArrayType;

const SCALARS = {
  Boolean: true,
  SByte: -128,
  Byte: 255,
  Int16: -32768,
  UInt16: 65535,
  Int32: -2147483648,
  UInt32: 4294967295,
  Int64: [0x80000000, 0],
  UInt64: [0xffffffff, 0xffffffff],
  Float: 0.1,
  Double: 5e-324,
  String: 'Grüße "\\\t\u{1f600}',
  DateTime: new Date("2026-11-22T10:15:00.250Z"),
  Guid: "72962B91-FA75-4AE6-8D28-B404DC7DAF63",
  ByteString: Buffer.from([0, 1, 254]),
  XmlElement: "<a>1</a>",
  NodeId: coerceNodeId("ns=2;s=a;b"),
  ExpandedNodeId: new ExpandedNodeId(NodeIdType.STRING, "x", 0, "urn:other", 1),
  StatusCode: StatusCodes.BadTimeout,
  QualifiedName: new QualifiedName({ namespaceIndex: 2, name: "q" }),
  LocalizedText: { locale: "de", text: "Ofen" },
};

const ARRAYS = {
  Boolean: [true, false],
  Byte: new Uint8Array([0, 255]),
  Int64: [[0x80000000, 0], [0x7fffffff, 0xffffffff]],
  UInt64: [[0xffffffff, 0xffffffff]],
  Double: new Float64Array([1.5, NaN, -Infinity]),
  String: ["a", "", "ö"],
  DateTime: [new Date("2026-01-01T00:00:00Z")],
  Guid: ["00000000-0000-0000-0000-000000000001"],
  ByteString: [Buffer.from([0]), Buffer.from([255])],
  LocalizedText: [{ locale: "en", text: "a" }],
};

async function main(port, folder) {
  const certificates = new OPCUACertificateManager({ automaticallyAcceptUnknownCertificate: true, rootFolder: path.join(folder, "pki") });
  const server = new OPCUAServer({ port, host: "127.0.0.1", serverCertificateManager: certificates, userCertificateManager: certificates, allowAnonymous: true });
  await server.initialize();
  await addNodes(server.engine.addressSpace);
  await server.start();
  console.log("READY");
}

async function addNodes(addressSpace) {
  const own = addressSpace.getOwnNamespace();
  const folder = own.addFolder("ObjectsFolder", { browseName: "Types" });
  const add = (id, declared, variant, status, more) => {
    const v = own.addVariable({ componentOf: folder, nodeId: `s=Types/${id}`, browseName: id.replace("/", ""), dataType: declared, ...more });
    v.setValueFromSource(variant, status || StatusCodes.Good, AT);
    return v;
  };
  const scalar = (dataType, value) => new Variant({ dataType: DataType[dataType], arrayType: Scalar, value });
  for (const [type, value] of Object.entries(SCALARS)) add(type, type, scalar(type, value));
  for (const [type, value] of Object.entries(ARRAYS)) {
    add(`Arrays/${type}`, type, new Variant({ dataType: DataType[type], arrayType: List, value }), null, { valueRank: 1 });
  }
  add("NaN", "Double", scalar("Double", NaN));
  add("Infinity", "Double", scalar("Double", Infinity));
  add("NegativeInfinity", "Float", scalar("Float", -Infinity));
  const mixed = [new Variant({ dataType: DataType.Int32, value: 1 }), new Variant({ dataType: DataType.String, value: "a" })];
  add("Arrays/Variant", "BaseDataType", new Variant({ dataType: DataType.Variant, arrayType: List, value: mixed }), null, { valueRank: 1 });
  add("Arrays/Empty", "Int32", new Variant({ dataType: DataType.Int32, arrayType: List, value: new Int32Array(0) }), null, { valueRank: 1 });
  const matrix = (dataType, value, dimensions) => new Variant({ dataType, arrayType: Matrix, value, dimensions });
  add("Matrix", "Int32", matrix(DataType.Int32, new Int32Array([1, 2, 3, 4, 5, 6]), [2, 3]), null, { valueRank: 2, arrayDimensions: [2, 3] });
  add("Cube", "Double", matrix(DataType.Double, new Float64Array([0, 1, 2, 3, 4, 5, 6, 7]), [2, 2, 2]), null, { valueRank: 3, arrayDimensions: [2, 2, 2] });
  add("Uncertain", "Double", scalar("Double", 1.5), StatusCodes.UncertainLastUsableValue);
  add("Bad", "Double", scalar("Double", 3.5), StatusCodes.BadSensorFailure);
  add("BadNull", "Double", new Variant({ dataType: DataType.Null }), StatusCodes.BadNotConnected);

  const mode = own.addEnumerationType({ browseName: "Mode", enumeration: ["Off", "Manual", "Automatic"] });
  const structure = (name, fields) => {
    const type = own.createDataType({ browseName: name, isAbstract: false, subtypeOf: "Structure", partialDefinition: fields });
    const encoding = own.addObject({ browseName: { name: "Default Binary", namespaceIndex: 0 }, typeDefinition: "DataTypeEncodingType" });
    encoding.addReference({ referenceType: "HasEncoding", isForward: false, nodeId: type.nodeId });
    return type;
  };
  const one = { valueRank: -1 };
  const many = { valueRank: 1 };
  const point = structure("Point", [
    { name: "X", dataType: DataType.Double, ...one },
    { name: "Y", dataType: DataType.Double, ...one },
  ]);
  const part = structure("Part", [
    { name: "Serial", dataType: DataType.UInt64, ...one },
    { name: "Name", dataType: DataType.String, isOptional: true, ...one },
    { name: "Weight", dataType: DataType.Double, isOptional: true, ...one },
    { name: "At", dataType: point.nodeId, ...one },
    { name: "Path", dataType: point.nodeId, ...many },
    { name: "Mode", dataType: mode.nodeId, ...one },
    { name: "Made", dataType: DataType.DateTime, ...one },
    { name: "Codes", dataType: DataType.Int64, ...many },
    { name: "Any", dataType: DataType.Variant, ...one },
  ]);
  addressSpace.$$extraDataTypeManager = undefined; // or it keeps to the types of the nodesets
  await ensureDatatypeExtracted(addressSpace);
  add("Enum", mode.nodeId, scalar("Int32", 2));
  add("EnumUnknown", mode.nodeId, scalar("Int32", 7));
  add("Enums", mode.nodeId, new Variant({ dataType: DataType.Int32, arrayType: List, value: new Int32Array([1, 0]) }), null, { valueRank: 1 });
  add("ServerState", "ServerState", scalar("Int32", 4));
  const states = { componentOf: folder, nodeId: "s=Types/MultiState", browseName: "MultiState", enumStrings: ["Red", "Amber", "Green"], value: 1 };
  own.addMultiStateDiscrete(states).setValueFromSource(scalar("UInt32", 1), StatusCodes.Good, AT);
  const two = { componentOf: folder, nodeId: "s=Types/TwoState", browseName: "TwoState", trueState: "Open", falseState: "Closed", value: true };
  own.addTwoStateDiscrete(two).setValueFromSource(scalar("Boolean", true), StatusCodes.Good, AT);
  const make = (type, value) => addressSpace.constructExtensionObject(type, value);
  const object = (value) => new Variant({ dataType: DataType.ExtensionObject, value });
  add("Structure", part.nodeId, object(make(part, {
    serial: [0xffffffff, 0xffffffff], weight: 0.5, at: { x: 1, y: -2 }, path: [{ x: 0, y: NaN }, { x: 3, y: 4 }], mode: 1,
    made: new Date("2026-01-01T00:00:00Z"), codes: [[0xffffffff, 0xffffffff], [0x7fffffff, 0xffffffff]],
    any: { dataType: DataType.String, value: "free" },
  })));
  const points = [make(point, { x: 1, y: 2 }), make(point, { x: 3, y: 4 })];
  add("Structures", point.nodeId, new Variant({ dataType: DataType.ExtensionObject, arrayType: List, value: points }), null, { valueRank: 1 });
  add("BadStructure", point.nodeId, new Variant({ dataType: DataType.Null }), StatusCodes.BadNoCommunication);
  add("Abstract", "Structure", object(make(point, { x: 5, y: 6 })));
  add("Range", "Range", object(new Range({ low: -1.5, high: 100.25 })));
  add("EUInformation", "EUInformation", object(make(addressSpace.findDataType("EUInformation"), {
    namespaceUri: "http://www.opcfoundation.org/UA/units/un/cefact", unitId: 4408652,
    displayName: { locale: "en", text: "°C" }, description: { locale: "en", text: "degree Celsius" },
  })));
}

main(Number(process.argv[2]), process.argv[3]).catch((err) => {
  console.error(err);
  process.exit(1);
});
