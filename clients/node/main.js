#!/usr/bin/env node
// Asks a Quorate server for text, or for its models.
//
//   node main.js generate [--model ID]... [--profile NAME] [--max-tokens N]
//       [--temperature T] [--timeout-ms N] PROMPT
//   node main.js models [--timeout-ms N]
//
// QUORATE_TARGET, QUORATE_TLS_CA and QUORATE_TOKEN say which server, whom to trust and who calls.
// Ctrl-C ends the answer, here and at the server. Exit codes: 0 done, 1 failed, 2 usage, 130
// cancelled.
"use strict";

const { parseArgs } = require("node:util");

const { Client, explain, ServiceError } = require("./quorate.js");

// Numbers are read here: protobuf would take what is none for 0.
function numberOf(text) {
  const number = Number(text);
  if (text.trim() === "" || Number.isNaN(number)) throw new TypeError(`${text} is no number`);
  return number;
}

function requestOf(prompt, { model: models = [], profile, ...given }) {
  const request = {
    chat: { messages: [{ role: "user", content: prompt }] },
    sampling: {},
    stopping: {},
  };
  // Without any of these the server's default profile answers.
  if (profile !== undefined) request.profile = profile;
  if (models.length === 1) request.plan = { single: { model: models[0] } };
  if (models.length > 1) {
    request.plan = { ensemble: { members: models.map((model) => ({ model })) } };
  }
  // What is not set is the server's default; 0 would be a value.
  if (given["max-tokens"] !== undefined) request.stopping.maxTokens = numberOf(given["max-tokens"]);
  if (given.temperature !== undefined) request.sampling.temperature = numberOf(given.temperature);
  return request;
}

async function generate(client, request, timeoutMs) {
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  for await (const event of client.generate(request, { timeoutMs, signal: interrupt.signal })) {
    switch (event.event) {
      case "delta":
        process.stdout.write(event.delta.text);
        break;
      case "notice":
        console.error(`note: ${event.notice.message}`);
        break;
      case "finished": {
        const { reason, usage } = event.finished;
        console.error(`done: ${reason}, ${usage.generatedTokens} tokens`);
        break;
      }
    }
  }
}

async function listModels(client, timeoutMs) {
  for (const model of await client.listModels({ timeoutMs })) {
    console.log(`${model.id}\t${model.state}\t${model.message}`);
  }
}

function read() {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      model: { type: "string", multiple: true },
      profile: { type: "string" },
      "max-tokens": { type: "string" },
      temperature: { type: "string" },
      "timeout-ms": { type: "string", default: "60000" },
    },
  });
  const [command, ...prompts] = positionals;
  const timeoutMs = numberOf(values["timeout-ms"]);
  const wanted = { generate: 1, models: 0 }[command];
  if (prompts.length !== wanted || !(timeoutMs > 0)) {
    throw new TypeError("main.js generate [OPTION]... PROMPT, or main.js models");
  }
  return { command, timeoutMs, request: requestOf(prompts[0], values) };
}

async function main() {
  let asked;
  try {
    asked = read();
  } catch (error) {
    console.error(`usage: ${error.message}`);
    return 2;
  }
  let client;
  try {
    client = new Client({
      target: process.env.QUORATE_TARGET ?? "127.0.0.1:50051",
      tlsCa: process.env.QUORATE_TLS_CA,
      token: process.env.QUORATE_TOKEN,
    });
    if (asked.command === "models") await listModels(client, asked.timeoutMs);
    else await generate(client, asked.request, asked.timeoutMs);
    return 0;
  } catch (error) {
    if (error instanceof ServiceError && error.status === "CANCELLED") {
      console.error("cancelled");
      return 130;
    }
    console.error(error instanceof ServiceError ? explain(error) : `error: ${error.message}`);
    return 1;
  } finally {
    client?.close();
  }
}

main().then((code) => {
  process.exitCode = code;
});
