// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane::netlink {

// Moves the calling thread into another network namespace for as long as it lives, and back at its end. Needs
// CAP_SYS_ADMIN. When the way back fails the process aborts: everything it did next would hit the wrong node.
class NetnsScope {
public:
    // `target`: descriptor of a network namespace (/proc/PID/ns/net, /run/netns/NAME); the caller keeps it.
    // On an error the thread is where it was.
    [[nodiscard]] static Result<NetnsScope> enter(int target);

    NetnsScope(NetnsScope&&) noexcept = default;
    NetnsScope& operator=(NetnsScope&&) = delete;
    NetnsScope(const NetnsScope&) = delete;
    NetnsScope& operator=(const NetnsScope&) = delete;
    ~NetnsScope();

private:
    explicit NetnsScope(Fd origin) : origin_(std::move(origin)) {}
    Fd origin_;
};

}  // namespace podlane::netlink
