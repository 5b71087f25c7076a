// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace podlane::test {

// What a server says to one request: bytes, as HTTP/1.1 has them on the wire.
struct Answer {
    enum class Then {
        next_request,  // on the same connection
        close,         // as a process that is killed: without TLS's goodbye
        hold,          // silent until the client goes, or the server ends
    };
    std::string bytes;
    std::size_t piece = 4096;            // each in a TLS record of its own
    std::chrono::milliseconds pause{0};  // before each piece
    Then then = Then::next_request;
};

}  // namespace podlane::test
