// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace podlane {

// Why an operation failed, as one line for a person: "<operation> <object>: <reason>".
struct Error {
    // errno of the failed call; 0 when the failure did not come from the kernel or the C library.
    int code = 0;
    std::string message;
};

template <typename T>
using Result = std::expected<T, Error>;

// An error without an errno: bad input, a broken rule.
template <typename... Args>
[[nodiscard]] std::unexpected<Error> fail(fmt::format_string<Args...> format, Args&&... args) {
    return std::unexpected(Error{0, fmt::format(format, std::forward<Args>(args)...)});
}

// An error that carries errno: "update nodes_by_pod_cidr 10.1.2.0/24: No space left on device".
template <typename... Args>
[[nodiscard]] std::unexpected<Error> fail_errno(int code, fmt::format_string<Args...> what, Args&&... args) {
    return std::unexpected(Error{code, fmt::format("{}: {}", fmt::format(what, std::forward<Args>(args)...),
                                                   std::generic_category().message(code))});
}

// The same failure, told from one level further up: "<context>: <message>".
[[nodiscard]] inline std::unexpected<Error> fail_within(std::string_view context, const Error& cause) {
    return std::unexpected(Error{cause.code, fmt::format("{}: {}", context, cause.message)});
}

}  // namespace podlane
