// Writes npm.json, payloads encoded by sparkplug-payload 1.0.3: npm install sparkplug-payload@1.0.3.
"use strict";

const fs = require("fs");
const zlib = require("zlib");
const { encodePayload } = require("sparkplug-payload").get("spBv1.0");

const at = 1764208800123;
const dataset = {
  numOfColumns: 3,
  types: ["String", "Double", "Boolean"],
  columns: ["name", "diameter", "ok"],
  rows: [["bolt", 2.5, true], ["nut", -1, false]],
};
const template = {
  version: "1", templateRef: "Motor", isDefinition: false,
  metrics: [
    { name: "speed", value: 1450, type: "Int32", timestamp: at + 1 },
    { name: "load", value: 0.5, type: "Float", properties: { Quality: { type: "Int32", value: 500 } } },
  ],
  parameters: [{ name: "serial", type: "String", value: "M-17" }],
};
const payloads = {
  types: {
    timestamp: at, seq: 7, metrics: [
      { name: "int8", type: "Int8", value: -1 },
      { name: "int16", type: "Int16", value: -2 },
      { name: "int32", type: "Int32", value: -3 },
      { name: "int64", type: "Int64", value: -4 },
      { name: "uint32", type: "UInt32", value: 4294967295 },
      { name: "uint64", type: "UInt64", value: 9007199254740991 },
      { name: "datetime", type: "DateTime", value: at },
      { name: "null", type: "Float", value: null },
      { name: "dataset", type: "DataSet", value: dataset },
      { name: "motor", type: "Template", value: template },
      { name: "file", type: "File", value: Buffer.from("no signal") },
    ],
  },
  properties: {
    timestamp: at, seq: 0, metrics: [
      { name: "good", type: "Double", value: 1, properties: { Quality: { type: "Int32", value: 192 }, engUnit: { type: "String", value: "bar" } } },
      { name: "bad", type: "Double", value: 2, properties: { Quality: { type: "Int32", value: 0 } } },
      { name: "stale", type: "Double", value: 3, properties: { Quality: { type: "Int32", value: 500 } } },
      { name: "unknown", type: "Double", value: 4, properties: { Quality: { type: "Int32", value: 768 }, other: { type: "Boolean", value: true } } },
      { name: "later", alias: 5, type: "Double", value: 5, timestamp: at + 1000, isHistorical: true },
    ],
  },
};
const out = {};
for (const [name, p] of Object.entries(payloads)) {
  out[name] = Buffer.from(encodePayload(p)).toString("hex");
}
for (const [algorithm, compress] of [["DEFLATE", zlib.deflateSync], ["GZIP", zlib.gzipSync]]) {
  out[algorithm] = Buffer.from(encodePayload({
    uuid: "SPBV1.0_COMPRESSED", body: compress(Buffer.from(out.properties, "hex")),
    metrics: [{ name: "algorithm", type: "String", value: algorithm }],
  })).toString("hex");
}
fs.writeFileSync("npm.json", JSON.stringify(out, null, 1) + "\n");
