// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/netns.h"

#include <fcntl.h>
#include <sched.h>

#include <cstdlib>

namespace podlane::netlink {

Result<NetnsScope> NetnsScope::enter(int target) {
    // Not /proc/self: that is the process's main thread.
    Fd origin(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!origin.valid()) {
        return fail_errno(errno, "open /proc/thread-self/ns/net");
    }
    if (::setns(target, CLONE_NEWNET) != 0) {
        return fail_errno(errno, "enter the network namespace");
    }
    return NetnsScope(std::move(origin));
}

NetnsScope::~NetnsScope() {
    if (origin_.valid() && ::setns(origin_.get(), CLONE_NEWNET) != 0) {
        std::abort();
    }
}

}  // namespace podlane::netlink
