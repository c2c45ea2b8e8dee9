// A viewer made of connect-web itself, under Node.js: five calls, each outcome one line of JSON.
//
// node connect_web.mjs WEB_FOLDER BASE_URL DESCRIPTORS
//   WEB_FOLDER   where node_modules is
//   BASE_URL     of the gateway
//   DESCRIPTORS  a serialised FileDescriptorSet of the contract

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [webFolder, baseUrl, descriptors] = process.argv.slice(2);
const require = createRequire(`${webFolder}/package.json`);
const { createFileRegistry, fromBinary } = require("@bufbuild/protobuf");
const { FileDescriptorSetSchema } = require("@bufbuild/protobuf/wkt");
const { Code, ConnectError, createClient } = require("@connectrpc/connect");
const { createGrpcWebTransport } = require("@connectrpc/connect-web");

const files = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(descriptors)));
const service = files.getService("trainmon.v1.DashboardService");
const client = createClient(service, createGrpcWebTransport({ baseUrl }));

async function report(name, run) {
  const outcome = { name, messages: 0, code: "Ok", message: "" };
  try {
    for await (const _ of run()) outcome.messages += 1;
  } catch (reason) {
    const error = ConnectError.from(reason);
    outcome.code = Code[error.code];
    outcome.message = error.rawMessage;
  }
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}

async function* one(promise) {
  yield await promise;
}

await report("unary success", () => one(client.listSessions({})));
await report("unary error", () => one(client.queryMetrics({ sessionId: "refused" })));
await report("unary deadline", () => one(client.getBatch({ sessionId: "hangs" }, { timeoutMs: 200 })));
await report("stream success", () => client.watchSession({ sessionId: "short" }));
await report("stream error", () => client.watchSession({ sessionId: "fails" }));
await report("stream empty", () => client.watchSession({ sessionId: "empty" }));
