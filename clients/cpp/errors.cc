#include "errors.h"

#include <sstream>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace quorate {
namespace {

// Names of the gRPC specification; the library has only the numbers.
std::string NameOf(grpc::StatusCode code) {
  static const char* const kNames[] = {
      "OK",           "CANCELLED",         "UNKNOWN",         "INVALID_ARGUMENT",
      "DEADLINE_EXCEEDED", "NOT_FOUND",    "ALREADY_EXISTS",  "PERMISSION_DENIED",
      "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
      "UNIMPLEMENTED", "INTERNAL",         "UNAVAILABLE",     "DATA_LOSS",
      "UNAUTHENTICATED"};
  return code >= 0 && code <= 16 ? kNames[code] : std::to_string(code);
}

}  // namespace

ServiceError::ServiceError(const grpc::Status& status)
    : std::runtime_error(status.error_message()), code(status.error_code()) {
  google::rpc::Status rich;
  if (!rich.ParseFromString(status.error_details())) return;
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest wrong;
  google::rpc::PreconditionFailure missing;
  google::rpc::QuotaFailure quota;
  google::rpc::RetryInfo retry;
  for (const auto& detail : rich.details()) {
    if (detail.UnpackTo(&info)) {
      reason = info.reason();
      metadata.insert(info.metadata().begin(), info.metadata().end());
    } else if (detail.UnpackTo(&wrong)) {
      for (const auto& one : wrong.field_violations()) {
        violations.push_back({"field", one.field(), one.description()});
      }
    } else if (detail.UnpackTo(&missing)) {
      for (const auto& one : missing.violations()) {
        violations.push_back({"subject", one.subject(), one.description()});
      }
    } else if (detail.UnpackTo(&quota)) {
      for (const auto& one : quota.violations()) {
        violations.push_back({"budget", one.subject(), one.description()});
      }
    } else if (detail.UnpackTo(&retry)) {
      const auto delay = std::chrono::seconds(retry.retry_delay().seconds()) +
                         std::chrono::nanoseconds(retry.retry_delay().nanos());
      retry_after = std::chrono::ceil<std::chrono::milliseconds>(delay);
    }
  }
}

std::string ServiceError::Explain() const {
  std::ostringstream text;
  text << "error: " << NameOf(code) << ": " << what();
  if (!reason.empty()) text << "\n  reason: " << reason;
  for (const auto& [key, value] : metadata) text << "\n  " << key << ": " << value;
  for (const auto& one : violations) {
    text << "\n  wrong " << one.kind << ": " << one.name << ": " << one.problem;
  }
  if (retry_after) text << "\n  retry after: " << retry_after->count() << " ms";
  return text.str();
}

}  // namespace quorate
