// A plant behind an OPC UA server of another maker (node-opcua), for tests of addresses:
// node node-plant.js PORT FOLDER FIRST SECOND. FIRST and SECOND are the URIs of two
// namespaces, in the order in which the server has them: urn:plant has the machines. It
// prints READY once clients may connect. What is written to Command is done:
// "add NAME" makes a machine, "remove NAME" takes it away.
"use strict";

const path = require("node:path");
const {
  DataType,
  OPCUACertificateManager,
  OPCUAServer,
  nodesets,
  resolveNodeId,
} = require("node-opcua");

const MACHINERY = "http://opcfoundation.org/UA/Machinery/";
const PACKML = "http://opcfoundation.org/UA/PackML/";
const DI = "http://opcfoundation.org/UA/DI/";

async function main(port, folder, namespaces) {
  const certificates = new OPCUACertificateManager({
    automaticallyAcceptUnknownCertificate: true,
    rootFolder: path.join(folder, "pki"),
  });
  const server = new OPCUAServer({
    port,
    host: "127.0.0.1",
    serverCertificateManager: certificates,
    userCertificateManager: certificates,
    nodeset_filename: [nodesets.standard, nodesets.di, nodesets.ia, nodesets.machinery, nodesets.packML],
    // Few, so that clients have to keep to them.
    serverCapabilities: {
      operationLimits: { maxNodesPerBrowse: 5, maxNodesPerTranslateBrowsePathsToNodeIds: 7, maxNodesPerRead: 50 },
      maxBrowseContinuationPoints: 2,
    },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  for (const uri of namespaces) space.registerNamespace(uri);
  addPlant(space);
  addMachinery(space);
  addPackML(space);
  await server.start();
  console.log("READY");
}

function addPlant(space) {
  const plant = space.getNamespace("urn:plant");
  const machines = plant.addFolder("ObjectsFolder", { browseName: "Machines" });
  // With a NodeVersion, changes below are told by GeneralModelChangeEvents.
  plant.addVariable({
    propertyOf: machines, browseName: { name: "NodeVersion", namespaceIndex: 0 }, dataType: "String",
    value: { dataType: DataType.String, value: "1" },
  });
  const mode = plant.addEnumerationType({ browseName: "ModeType", enumeration: ["Off", "Setup", "Producing"] });
  const made = {};
  const add = (name) => {
    const machine = plant.addObject({ organizedBy: machines, browseName: name, nodeId: `s=${name}` });
    const status = plant.addObject({ componentOf: machine, browseName: "Status" });
    const variable = (browseName, dataType, value, more) =>
      plant.addVariable({
        componentOf: status, browseName, nodeId: `s=${name}/${browseName}`, dataType, value: { dataType, value }, ...more,
      });
    let ramp = 0;
    const speed = plant.addAnalogDataItem({
      componentOf: status, browseName: "Speed", nodeId: `s=${name}/Speed`, dataType: "Double",
      engineeringUnitsRange: { low: 0, high: 200 }, value: { dataType: DataType.Double, value: 0 },
    });
    const plain = variable("Plain", DataType.Double, 0);
    const good = variable("Good", DataType.UInt32, 0);
    plant.addVariable({
      componentOf: status, browseName: "Mode", nodeId: `s=${name}/Mode`, dataType: mode, value: { dataType: DataType.Int32, value: 2 },
    });
    plant.addVariable({
      componentOf: status, browseName: "Secret", nodeId: `s=${name}/Secret`, dataType: "Double", userAccessLevel: 0, accessLevel: 0,
      value: { dataType: DataType.Double, value: 0 },
    });
    const ticks = setInterval(() => {
      ramp++;
      // Small moves, and a jump every tenth.
      speed.setValueFromSource({ dataType: DataType.Double, value: Math.floor(ramp / 10) * 10 + (ramp % 10) / 10 });
      plain.setValueFromSource({ dataType: DataType.Double, value: ramp / 4 });
      good.setValueFromSource({ dataType: DataType.UInt32, value: ramp });
    }, 50);
    // A circle: from the status back to all machines.
    status.addReference({ referenceType: "Organizes", nodeId: machines });
    made[name] = () => {
      clearInterval(ticks);
      status.removeReference({ referenceType: "Organizes", nodeId: machines.nodeId });
      space.deleteNode(machine);
    };
  };
  for (let i = 1; i <= 6; i++) add(`M${i}`);
  const command = plant.addVariable({
    componentOf: machines, browseName: "Command", nodeId: "s=Command", dataType: "String",
    value: { dataType: DataType.String, value: "" },
  });
  command.on("value_changed", ({ value }) => {
    const [verb, name] = value.value.split(" ");
    if (verb === "add") add(name);
    if (verb === "remove") made[name]();
  });
}

// setState says that a state machine is in a state of its type.
function setState(stateMachine, name, id) {
  stateMachine.currentState.setValueFromSource({ dataType: DataType.LocalizedText, value: { locale: "de", text: name } });
  stateMachine.currentState.id.setValueFromSource({ dataType: DataType.NodeId, value: resolveNodeId(id) });
}

function addMachinery(space) {
  const own = space.getOwnNamespace();
  const [machinery, di] = [space.getNamespaceIndex(MACHINERY), space.getNamespaceIndex(DI)];
  const saw = own.addObject({ organizedBy: space.findNode(`ns=${machinery};i=1001`), browseName: "Saw" });
  const blocks = own.addObject({
    componentOf: saw, browseName: { name: "MachineryBuildingBlocks", namespaceIndex: machinery }, typeDefinition: "FolderType",
  });
  const state = space.findObjectType("MachineryItemState_StateMachineType", machinery).instantiate({
    browseName: { name: "MachineryItemState", namespaceIndex: machinery }, componentOf: blocks,
  });
  setState(state, "In Ausführung", `ns=${machinery};i=5006`);
  const identification = own.addObject({ componentOf: saw, browseName: { name: "Identification", namespaceIndex: di } });
  own.addVariable({
    propertyOf: identification, browseName: { name: "SerialNumber", namespaceIndex: di }, dataType: "String",
    value: { dataType: DataType.String, value: "4711" },
  });
}

function addPackML(space) {
  const own = space.getOwnNamespace();
  const packml = space.getNamespaceIndex(PACKML);
  const name = (text) => ({ name: text, namespaceIndex: packml });
  const filler = space.findObjectType("PackMLBaseObjectType", packml).instantiate({
    browseName: "Filler", organizedBy: space.findNode(`ns=${packml};i=72`), namespace: own,
  });
  const child = (node, text) => node.getChildByName(name(text)) ?? node.getChildByName(text);
  const base = child(filler, "BaseStateMachine");
  setState(base, "Geräumt", `ns=${packml};i=71`);
  const stateMachine = (parent, text, type) =>
    child(parent, text)?.currentState
      ? child(parent, text)
      : space.findObjectType(type, packml).instantiate({ browseName: name(text), componentOf: parent });
  const machine = stateMachine(base, "MachineState", "PackMLMachineStateMachineType");
  setState(machine, "Läuft", `ns=${packml};i=75`);
  const execute = stateMachine(machine, "ExecuteState", "PackMLExecuteStateMachineType");
  setState(execute, "Ausführen", `ns=${packml};i=36`);
  const speed = child(child(filler, "Status"), "CurMachSpeed");
  speed.setValueFromSource({ dataType: DataType.Float, value: 120 });
}

main(Number(process.argv[2]), process.argv[3], process.argv.slice(4)).catch((err) => {
  console.error(err);
  process.exit(1);
});
