// SPDX-License-Identifier: Apache-2.0
// The CNI plugin `podlane`: what a container runtime executes to attach a container to the pod network.
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>

#include "agent/cni/plugin.h"
#include "agent/cni/result.h"

namespace {

using podlane::Result;
using namespace podlane::cni;

Environment read_environment() {
    Environment environment;
    for (char** entry = ::environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const auto equals = text.find('=');
        if (equals != std::string_view::npos) {
            environment.emplace(text.substr(0, equals), text.substr(equals + 1));
        }
    }
    return environment;
}

// Somebody who types the command has no configuration to give.
Result<std::string> read_standard_input() {
    constexpr int patience_ms = 10'000;
    std::string text;
    std::array<char, 4096> chunk;
    while (::isatty(STDIN_FILENO) == 0) {
        pollfd waiting{STDIN_FILENO, POLLIN, 0};
        if (::poll(&waiting, 1, patience_ms) == 0) {
            return podlane::fail_errno(ETIMEDOUT, "read the configuration from standard input");
        }
        const ssize_t count = ::read(STDIN_FILENO, chunk.data(), chunk.size());
        if (count < 0) {
            return podlane::fail_errno(errno, "read the configuration from standard input");
        }
        if (count == 0) {
            break;
        }
        text.append(chunk.data(), static_cast<std::size_t>(count));
    }
    return text;
}

Response run() {
    try {
        return run_plugin(read_environment(), read_standard_input);
    } catch (const std::exception& bug) {
        const Failure failure{static_cast<unsigned>(Code::attachment_failed), bug.what(), "a bug in podlane"};
        return {1, make_error(failure, newest_version).dump() + "\n"};
    }
}

}  // namespace

int main() {
    if (std::getenv("CNI_COMMAND") == nullptr) {
        fmt::print(stderr, "podlane {}: a CNI plugin, for container runtimes to execute\n", PODLANE_VERSION);
    }
    const Response response = run();
    const bool written = std::fwrite(response.standard_output.data(), 1, response.standard_output.size(), stdout) ==
                             response.standard_output.size() &&
                         std::fflush(stdout) == 0;
    return written ? response.exit_status : 1;
}
