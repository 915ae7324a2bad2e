// Streams an ensemble's answer and prints each event as one line of JSON.
//
//   node stream_ensemble.js HOST:PORT PROTO_DIRECTORY PROMPT MODEL:WEIGHT...
//
// It knows nothing but the proto files. Where the server refuses, it prints the status as
// {"code", "details"} and ends with exit code 1.
"use strict";

const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const [target, protoDirectory, prompt, ...models] = process.argv.slice(2);
const members = models.map((named) => {
  const [model, weight] = named.split(":");
  return { model, weight: Number(weight) };
});

const definition = protoLoader.loadSync("quorate/v1/inference.proto", {
  includeDirs: [protoDirectory],
  keepCase: true,
  defaults: true,
  longs: String,
  enums: String,
  oneofs: true,
});
const { InferenceService } = grpc.loadPackageDefinition(definition).quorate.v1;
const client = new InferenceService(target, grpc.credentials.createInsecure());

const call = client.Generate({
  request_id: "from-node",
  prompt,
  plan: { ensemble: { members } },
  sampling: { temperature: 0 },
  response: { member_votes: true },
});
const print = (value) =>
  console.log(
    JSON.stringify(value, (_, field) =>
      field !== null && field.type === "Buffer" ? Buffer.from(field.data).toString("utf8") : field,
    ),
  );
call.on("data", print);
call.on("error", ({ code, details }) => {
  print({ code, details });
  process.exitCode = 1;
});
call.on("close", () => client.close());
call.on("end", () => client.close());
