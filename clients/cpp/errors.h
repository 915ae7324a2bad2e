// What the server says beside the status of a call: google.rpc.Status in its trailing metadata.
#ifndef QUORATE_CLIENT_ERRORS_H_
#define QUORATE_CLIENT_ERRORS_H_

#include <chrono>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <grpcpp/support/status.h>

namespace quorate {

// One thing that is wrong: a field of the request, a subject that stands in the way, or a window of
// a budget.
struct Violation {
  std::string kind;
  std::string name;
  std::string problem;
};

// What the server, or the way to it, answered instead of a result.
class ServiceError : public std::runtime_error {
 public:
  explicit ServiceError(const grpc::Status& status);

  // Everything that the error says, for people.
  std::string Explain() const;

  grpc::StatusCode code;
  // For programs, such as PROMPT_TOO_LONG; empty where the transport failed.
  std::string reason;
  // Further facts for programs, such as the request id and the nearest names.
  std::map<std::string, std::string> metadata;
  std::vector<Violation> violations;
  // When another try has a chance; nothing where the server does not say.
  std::optional<std::chrono::milliseconds> retry_after;
};

}  // namespace quorate

#endif  // QUORATE_CLIENT_ERRORS_H_
