// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace podlane::net {

// The test bed itself failed: a namespace, a device, a socket. Ends the test with its message; what is under test
// reports through return values instead.
class HarnessError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

template <typename... Args>
[[noreturn]] void raise_error(fmt::format_string<Args...> format, Args&&... args) {
    throw HarnessError(fmt::format(format, std::forward<Args>(args)...));
}

// The same with the reason in errno at the end.
template <typename... Args>
[[noreturn]] void raise_errno(fmt::format_string<Args...> format, Args&&... args) {
    const int code = errno;
    throw HarnessError(
        fmt::format("{}: {}", fmt::format(format, std::forward<Args>(args)...), std::generic_category().message(code)));
}

}  // namespace podlane::net
