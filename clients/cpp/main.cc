// Asks a Quorate server for text, or for its models.
//
//   quorate-client generate [--model ID]... [--profile NAME] [--max-tokens N]
//       [--temperature T] [--timeout-ms N] PROMPT
//   quorate-client models [--timeout-ms N]
//
// QUORATE_TARGET, QUORATE_TLS_CA and QUORATE_TOKEN say which server, whom to trust and who calls.
// Ctrl-C ends the answer, here and at the server. Exit codes: 0 done, 1 failed, 2 usage, 130
// cancelled.
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>

#include "client.h"

namespace {

namespace v1 = quorate::v1;

struct Question {
  std::string command;
  std::string prompt;
  std::vector<std::string> models;
  std::optional<std::string> profile;
  std::optional<unsigned> max_tokens;
  std::optional<double> temperature;
  std::chrono::milliseconds timeout{60'000};
};

// Ends a call on Ctrl-C, as long as this lives. SIGINT has to be blocked in all threads.
class CancelOnInterrupt {
 public:
  explicit CancelOnInterrupt(grpc::ClientContext& context)
      : thread_([this, &context] {
          sigset_t interrupt;
          sigemptyset(&interrupt);
          sigaddset(&interrupt, SIGINT);
          int signal = 0;
          sigwait(&interrupt, &signal);
          if (!over_) context.TryCancel();
        }) {}

  ~CancelOnInterrupt() {
    over_ = true;
    pthread_kill(thread_.native_handle(), SIGINT);
    thread_.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::thread thread_;
};

void BlockInterrupts() {
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  pthread_sigmask(SIG_BLOCK, &interrupt, nullptr);
}

std::string FromEnvironment(const char* name, const std::string& otherwise = "") {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

// Throws std::logic_error for arguments that are none.
Question Read(int argc, char** argv) {
  Question asked;
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--", 0) != 0) {
      words.push_back(word);
      continue;
    }
    if (++i == argc) throw std::invalid_argument(word + " needs a value");
    const std::string value = argv[i];
    if (word == "--model") {
      asked.models.push_back(value);
    } else if (word == "--profile") {
      asked.profile = value;
    } else if (word == "--max-tokens") {
      asked.max_tokens = static_cast<unsigned>(std::stoul(value));
    } else if (word == "--temperature") {
      asked.temperature = std::stod(value);
    } else if (word == "--timeout-ms") {
      asked.timeout = std::chrono::milliseconds(std::stol(value));
      if (asked.timeout.count() <= 0) throw std::invalid_argument(word + " must be above 0");
    } else {
      throw std::invalid_argument("no option " + word);
    }
  }
  const size_t wanted = !words.empty() && words[0] == "generate" ? 2 : 1;
  if (words.size() != wanted || (wanted == 1 && words[0] != "models")) {
    throw std::invalid_argument("quorate-client generate [OPTION]... PROMPT, or "
                                "quorate-client models");
  }
  asked.command = words[0];
  asked.prompt = words.back();
  return asked;
}

v1::GenerateRequest RequestOf(const Question& asked) {
  v1::GenerateRequest request;
  auto* message = request.mutable_chat()->add_messages();
  message->set_role("user");
  message->set_content(asked.prompt);
  // Without any of these the server's default profile answers.
  if (asked.profile) request.set_profile(*asked.profile);
  if (asked.models.size() == 1) {
    request.mutable_plan()->mutable_single()->set_model(asked.models.front());
  } else {
    for (const auto& model : asked.models) {
      request.mutable_plan()->mutable_ensemble()->add_members()->set_model(model);
    }
  }
  // What is not set is the server's default; 0 would be a value.
  if (asked.max_tokens) request.mutable_stopping()->set_max_tokens(*asked.max_tokens);
  if (asked.temperature) request.mutable_sampling()->set_temperature(*asked.temperature);
  return request;
}

void Show(const v1::GenerateResponse& event) {
  if (event.has_delta()) {
    std::cout << event.delta().text() << std::flush;
  } else if (event.has_notice()) {
    std::cerr << "note: " << event.notice().message() << "\n";
  } else if (event.has_finished()) {
    const auto& finished = event.finished();
    std::cerr << "done: " << v1::FinishReason_Name(finished.reason()) << ", "
              << finished.usage().generated_tokens() << " tokens\n";
  }
}

void Run(const Question& asked) {
  quorate::Target target;
  target.address = FromEnvironment("QUORATE_TARGET", target.address);
  target.tls_ca = FromEnvironment("QUORATE_TLS_CA");
  target.token = FromEnvironment("QUORATE_TOKEN");
  quorate::Client client(target);

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + asked.timeout);
  CancelOnInterrupt cancel(context);
  if (asked.command == "generate") {
    client.Generate(context, RequestOf(asked), Show);
    return;
  }
  for (const auto& model : client.ListModels(context)) {
    std::cout << model.id() << "\t" << v1::ModelState_Name(model.state()) << "\t"
              << model.message() << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  // Before gRPC starts: its threads inherit the mask, and its own log would only say again, in its
  // words, what the errors say.
  BlockInterrupts();
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  Question asked;
  try {
    asked = Read(argc, argv);
  } catch (const std::logic_error& error) {
    std::cerr << "usage: " << error.what() << "\n";
    return 2;
  }
  try {
    Run(asked);
    return 0;
  } catch (const quorate::ServiceError& error) {
    if (error.code == grpc::StatusCode::CANCELLED) {
      std::cerr << "cancelled\n";
      return 130;
    }
    std::cerr << error.Explain() << "\n";
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
  }
  return 1;
}
