// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "maps/base/result.h"
#include "test/bench/traffic_socket.h"

namespace podlane::traffic {

struct Measurement {
    std::string_view test;    // "rr", "crr", "stream", "udp"
    std::string_view metric;  // what is counted, for people
    std::string_view unit;
    double value = 0;    // in `unit`
    double seconds = 0;  // what the value is an average over
    Count count = 0;     // transactions, connections, bytes or packets that arrived
};

using Seconds = std::chrono::duration<double>;

// One connection: a byte there, a byte back, one at a time.
[[nodiscard]] Result<Measurement> measure_request_response(const Endpoint& server, Seconds duration);
// A connection for each request: connect, a byte there, a byte back, and both ends close, the server first. The
// server keeps the TIME_WAIT states, so that the client never runs out of ports.
[[nodiscard]] Result<Measurement> measure_connections(const Endpoint& server, Seconds duration);
// One connection, as much as it takes; what the receiver got counts.
[[nodiscard]] Result<Measurement> measure_stream(const Endpoint& server, Seconds duration);
// Packets of 64 bytes of payload, sent in batches without waiting; what the receiver got counts.
[[nodiscard]] Result<Measurement> measure_udp(const Endpoint& server, Seconds duration);

}  // namespace podlane::traffic
