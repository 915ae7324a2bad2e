#include "client.h"

#include <fstream>
#include <iterator>
#include <stdexcept>

namespace quorate {
namespace {

std::string Read(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::invalid_argument(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const Target& target) {
  if (target.tls_ca.empty()) {
    if (!target.token.empty()) {
      throw std::invalid_argument(
          "a token is sent over TLS alone: name the certificates to trust");
    }
    return grpc::InsecureChannelCredentials();
  }
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = Read(target.tls_ca);
  auto channel = grpc::SslCredentials(tls);
  if (target.token.empty()) return channel;
  // Puts "authorization: Bearer TOKEN" into every call.
  return grpc::CompositeChannelCredentials(channel, grpc::AccessTokenCredentials(target.token));
}

void Check(const grpc::Status& status) {
  if (!status.ok()) throw ServiceError(status);
}

}  // namespace

Client::Client(const Target& target) {
  const auto channel = grpc::CreateChannel(target.address, CredentialsOf(target));
  inference_ = v1::InferenceService::NewStub(channel);
  models_ = v1::ModelService::NewStub(channel);
}

void Client::Generate(grpc::ClientContext& context, const v1::GenerateRequest& request,
                      const std::function<void(const v1::GenerateResponse&)>& show) {
  const auto stream = inference_->Generate(&context, request);
  v1::GenerateResponse event;
  while (stream->Read(&event)) show(event);
  Check(stream->Finish());
}

std::vector<v1::Model> Client::ListModels(grpc::ClientContext& context) {
  v1::ListModelsResponse response;
  Check(models_->ListModels(&context, {}, &response));
  return {response.models().begin(), response.models().end()};
}

}  // namespace quorate
