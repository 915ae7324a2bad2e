// A connection to a Quorate server: text as a stream of events, and errors as the server meant them.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const { explain, ServiceError } = require("./errors.js");

const definition = protoLoader.loadSync(["quorate/v1/inference.proto", "quorate/v1/models.proto"], {
  includeDirs: [process.env.QUORATE_PROTOS ?? path.join(__dirname, "../../proto")],
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { InferenceService, ModelService } = grpc.loadPackageDefinition(definition).quorate.v1;

class Client {
  /**
   * @param {object} options
   * @param {string} options.target HOST:PORT of the server.
   * @param {string} [options.tlsCa] PEM file of the certificates to trust; without one, plain text.
   * @param {string} [options.token] Tells the server who calls; sent over TLS alone.
   */
  constructor({ target, tlsCa, token }) {
    const credentials = credentialsOf(tlsCa, token);
    this.inference = new InferenceService(target, credentials);
    this.models = new ModelService(target, credentials);
  }

  /**
   * Streams the events of an answer: accepted, then deltas and notices, at last finished. Leaving
   * the loop, or aborting the signal, ends the request at the server.
   *
   * @param {object} request A GenerateRequest, its fields in camel case.
   * @param {object} options
   * @param {number} options.timeoutMs Deadline of the whole answer, from now.
   * @param {AbortSignal} [options.signal] Cancels the call.
   */
  async *generate(request, { timeoutMs, signal }) {
    const call = this.inference.generate(request, { deadline: Date.now() + timeoutMs });
    const cancel = () => call.cancel();
    signal?.addEventListener("abort", cancel);
    try {
      for await (const response of call) yield response;
    } catch (error) {
      throw ServiceError.from(error);
    } finally {
      signal?.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  /** Every model that the server knows, in the order of its configuration. */
  listModels({ timeoutMs }) {
    return new Promise((resolve, reject) => {
      this.models.listModels({}, { deadline: Date.now() + timeoutMs }, (error, response) =>
        error ? reject(ServiceError.from(error)) : resolve(response.models),
      );
    });
  }

  close() {
    this.inference.close();
    this.models.close();
  }
}

function credentialsOf(tlsCa, token) {
  if (!tlsCa) {
    if (token) throw new Error("a token is sent over TLS alone: name the certificates to trust");
    return grpc.credentials.createInsecure();
  }
  const channel = grpc.credentials.createSsl(fs.readFileSync(tlsCa));
  if (!token) return channel;
  const bearer = grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    done(null, metadata);
  });
  return grpc.credentials.combineChannelCredentials(channel, bearer);
}

module.exports = { Client, ServiceError, explain };
