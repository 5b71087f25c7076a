// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <libmnl/libmnl.h>

#include "maps/base/result.h"

namespace podlane {

// Tells when somebody changes chain FORWARD of nf_tables, in the network namespace it was opened in. Nothing tells of
// changes by iptables-legacy.
class RuleMonitor {
public:
    [[nodiscard]] static Result<RuleMonitor> open();

    // Readable when there are events. Owned by the monitor.
    [[nodiscard]] int fd() const { return mnl_socket_get_fd(handle_.get()); }
    // Reads the events that are there, a few hundred datagrams at most; whether one of them was about the chain, or
    // some were lost.
    [[nodiscard]] Result<bool> drain();

private:
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };
    using Handle = std::unique_ptr<mnl_socket, Close>;
    explicit RuleMonitor(Handle handle);

    Handle handle_;
    std::vector<std::byte> buffer_;
};

}  // namespace podlane
