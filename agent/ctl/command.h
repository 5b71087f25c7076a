// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <expected>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace podlane::ctl {

// What agentctl's exit status tells a script.
enum class ExitStatus : int { ok = 0, error = 1, usage = 2, unreachable = 3, not_found = 4, degraded = 5 };

enum class OutputFormat { table, wide, json, yaml };
enum class Headers { shown, hidden };

// The global flags, and where data and messages go. The streams are borrowed.
struct Context {
    std::ostream* out = nullptr;
    std::ostream* err = nullptr;
    std::filesystem::path run_dir = "/run/podlane";
    std::filesystem::path bpffs = "/sys/fs/bpf/podlane";
    OutputFormat format = OutputFormat::table;
    Headers headers = Headers::shown;
    std::chrono::milliseconds timeout{5000};
};

// Why a command has no data to show: one line for stderr.
struct Failure {
    ExitStatus status = ExitStatus::error;
    std::string message;
};
template <typename T>
using Outcome = std::expected<T, Failure>;

template <typename... Args>
[[nodiscard]] std::unexpected<Failure> failure(ExitStatus status, fmt::format_string<Args...> format, Args&&... args) {
    return std::unexpected(Failure{status, fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace podlane::ctl
