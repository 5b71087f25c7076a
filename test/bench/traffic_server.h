// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "maps/base/result.h"
#include "test/bench/traffic_socket.h"

namespace podlane::traffic {

// Answers clients until the process is ended: TCP connections one after the other, UDP packets beside them. Prints
// "listening on ADDRESS:PORT" on stdout once both sockets are open. Returns only with an error.
[[nodiscard]] Result<void> serve(const Endpoint& local);

}  // namespace podlane::traffic
