// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

#include <cstdarg>
#include <string>

namespace podlane {

// Keeps libbpf's own words off stderr while it lives, and remembers the last ones, which say why a load failed. One at
// a time, in one thread.
class LibbpfMessages {
public:
    LibbpfMessages();
    LibbpfMessages(const LibbpfMessages&) = delete;
    LibbpfMessages& operator=(const LibbpfMessages&) = delete;
    ~LibbpfMessages() { libbpf_set_print(previous_); }

    // Each on a line of its own, which begins with a line break.
    [[nodiscard]] static std::string last();

private:
    static int print(libbpf_print_level level, const char* format, va_list arguments);

    libbpf_print_fn_t previous_;
};

}  // namespace podlane
