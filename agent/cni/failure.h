// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "maps/base/result.h"

namespace podlane::cni {

// Error codes of the CNI specification, section "Error", and podlane's own from 100 on.
enum class Code : unsigned {
    incompatible_version = 1,
    unsupported_field = 2,
    unknown_container = 3,
    invalid_environment = 4,
    io_failure = 5,
    decoding_failure = 6,
    invalid_config = 7,
    try_again_later = 11,
    not_available = 50,
    attachment_failed = 100,  // the kernel, the agent or an IPAM plugin refused
    not_as_expected = 101,    // CHECK: what exists differs from what ADD reported
};

// What the runtime is told. `code` is a plain number because the codes of IPAM plugins are passed on.
struct Failure {
    unsigned code = 0;
    std::string message;
    std::string details;

    bool operator==(const Failure&) const = default;
};

template <typename T>
using Outcome = std::expected<T, Failure>;

template <typename... Args>
[[nodiscard]] std::unexpected<Failure> refuse(Code code, fmt::format_string<Args...> format, Args&&... args) {
    return std::unexpected(
        Failure{static_cast<unsigned>(code), fmt::format(format, std::forward<Args>(args)...), std::string()});
}

[[nodiscard]] inline std::unexpected<Failure> refuse_because(Code code, const Error& cause) {
    return std::unexpected(Failure{static_cast<unsigned>(code), cause.message, std::string()});
}

}  // namespace podlane::cni
