// What the server says beside the status of a call: google.rpc.Status in its trailing metadata.
"use strict";

const path = require("node:path");

const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const messages = protoLoader.loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"], {
  includeDirs: [process.env.GOOGLEAPIS_PROTOS ?? path.join(__dirname, "../proto")],
  longs: Number,
  defaults: true,
});

class ServiceError extends Error {
  /** Name of the gRPC status, such as NOT_FOUND. */
  status = "UNKNOWN";
  /** Reason for programs, such as PROMPT_TOO_LONG; empty where the transport failed. */
  reason = "";
  /** Further facts for programs, such as the request id and the nearest names. */
  metadata = {};
  /** What is wrong, as {kind, name, problem}: of each field, subject or window of a budget. */
  violations = [];
  /** When another try has a chance; undefined where the server does not say. */
  retryAfterMs = undefined;

  /** Decodes an error of gRPC; others come back as they are. */
  static from(error) {
    if (error.code === undefined || error.metadata === undefined) return error;
    const decoded = new ServiceError(error.details);
    decoded.status = grpc.status[error.code];
    const [packed] = error.metadata.get("grpc-status-details-bin");
    if (packed !== undefined) {
      for (const detail of messages["google.rpc.Status"].deserialize(packed).details) {
        decoded.#add(detail);
      }
    }
    return decoded;
  }

  #add({ type_url: typeUrl, value }) {
    const name = typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
    const detail = messages[name]?.deserialize(value);
    const violate = (kind, violations, key) => {
      for (const one of violations) {
        this.violations.push({ kind, name: one[key], problem: one.description });
      }
    };
    switch (name) {
      case "google.rpc.ErrorInfo":
        this.reason = detail.reason;
        this.metadata = detail.metadata;
        break;
      case "google.rpc.BadRequest":
        violate("field", detail.fieldViolations, "field");
        break;
      case "google.rpc.PreconditionFailure":
        violate("subject", detail.violations, "subject");
        break;
      case "google.rpc.QuotaFailure":
        violate("budget", detail.violations, "subject");
        break;
      case "google.rpc.RetryInfo": {
        const { seconds, nanos } = detail.retryDelay ?? { seconds: 0, nanos: 0 };
        this.retryAfterMs = Math.ceil(seconds * 1000 + nanos / 1e6);
        break;
      }
    }
  }
}

/** Everything that an error says, for people. */
function explain(error) {
  const lines = [`error: ${error.status}: ${error.message}`];
  if (error.reason) lines.push(`  reason: ${error.reason}`);
  for (const key of Object.keys(error.metadata).sort()) {
    lines.push(`  ${key}: ${error.metadata[key]}`);
  }
  for (const { kind, name, problem } of error.violations) {
    lines.push(`  wrong ${kind}: ${name}: ${problem}`);
  }
  if (error.retryAfterMs !== undefined) lines.push(`  retry after: ${error.retryAfterMs} ms`);
  return lines.join("\n");
}

module.exports = { ServiceError, explain };
