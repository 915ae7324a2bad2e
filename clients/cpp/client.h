// A connection to a Quorate server: text as a stream of events.
#ifndef QUORATE_CLIENT_CLIENT_H_
#define QUORATE_CLIENT_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "errors.h"
#include "quorate/v1/inference.grpc.pb.h"
#include "quorate/v1/models.grpc.pb.h"

namespace quorate {

// Which server, whom to trust, and who calls.
struct Target {
  std::string address = "127.0.0.1:50051";
  // PEM file of the certificates to trust; without one, plain text.
  std::string tls_ca;
  // Sent over TLS alone.
  std::string token;
};

// Methods throw ServiceError for what the server refuses, and for what fails on the way to it. The
// deadline of a call, and its end before that, are the caller's grpc::ClientContext's.
class Client {
 public:
  // Throws std::invalid_argument for a token that would go out in plain text, or a file of
  // certificates that cannot be read.
  explicit Client(const Target& target);

  // Streams the events of an answer to `show`: accepted, then deltas and notices, at last finished.
  void Generate(grpc::ClientContext& context, const v1::GenerateRequest& request,
                const std::function<void(const v1::GenerateResponse&)>& show);

  // Every model that the server knows, in the order of its configuration.
  std::vector<v1::Model> ListModels(grpc::ClientContext& context);

 private:
  std::unique_ptr<v1::InferenceService::Stub> inference_;
  std::unique_ptr<v1::ModelService::Stub> models_;
};

}  // namespace quorate

#endif  // QUORATE_CLIENT_CLIENT_H_
