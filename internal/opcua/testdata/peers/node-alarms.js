// A plant with alarms behind an OPC UA server of another maker (node-opcua):
// node node-alarms.js PORT FOLDER. It prints READY once clients may connect, and does what
// the lines of its standard input say: "level N" sets the level of both tanks, "event TEXT"
// has the plant tell an event of its own type, "flood N" N of them.
"use strict";

const path = require("node:path");
const readline = require("node:readline");
const { DataType, OPCUACertificateManager, OPCUAServer } = require("node-opcua");

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
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  space.installAlarmsAndConditionsService();
  const plant = addPlant(space);
  await server.start();
  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const [verb, ...words] = line.split(" ");
    if (verb === "level") plant.level(Number(words[0]));
    if (verb === "event") plant.event(words.join(" "), 300);
    if (verb === "flood") for (let i = 0; i < Number(words[0]); i++) plant.event(`flood ${i}`, 300);
    console.log(`done ${line}`);
  });
  console.log("READY");
}

function addPlant(space) {
  const own = space.registerNamespace("urn:alarms");
  const area = own.addObject({
    browseName: "Area", nodeId: "s=Area", organizedBy: "ObjectsFolder", eventNotifier: 1, notifierOf: space.rootFolder.objects.server,
  });
  const type = own.addEventType({ browseName: "DoorEventType", subtypeOf: "SystemEventType" });
  const levels = [];
  const tank = (name, kind, optionals) => {
    const object = own.addObject({ browseName: name, nodeId: `s=${name}`, componentOf: area, eventNotifier: 1, eventSourceOf: area });
    const level = own.addVariable({
      browseName: "Level", nodeId: `s=${name}/Level`, componentOf: object, dataType: "Double", value: { dataType: DataType.Double, value: 50 },
    });
    own[`instantiate${kind}`](kind === "ExclusiveLimitAlarm" ? "ExclusiveLimitAlarmType" : "NonExclusiveLimitAlarmType", {
      browseName: `${name}Level`, nodeId: `s=${name}/Alarm`, componentOf: object, conditionSource: object, conditionName: `${name} level`,
      inputNode: level, highLimit: 80, highHighLimit: 90, lowLimit: 20, lowLowLimit: 10, optionals,
    });
    levels.push(level);
  };
  tank("Tank1", "ExclusiveLimitAlarm", []);
  tank("Tank2", "NonExclusiveLimitAlarm", ["ConfirmedState", "Confirm"]);
  return {
    level: (value) => levels.forEach((l) => l.setValueFromSource({ dataType: DataType.Double, value })),
    event: (text, severity) =>
      area.raiseEvent(type, {
        message: { dataType: DataType.LocalizedText, value: { text } },
        severity: { dataType: DataType.UInt16, value: severity },
      }),
  };
}

main(Number(process.argv[2]), process.argv[3]).catch((err) => {
  console.error(err);
  process.exit(1);
});
