// SPDX-License-Identifier: Apache-2.0
#include "loader/scratch_network.h"

#include <fcntl.h>
#include <sched.h>

#include <cstdlib>

namespace podlane {

Result<ScratchNetwork> ScratchNetwork::enter() {
    Fd origin(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!origin.valid()) {
        return fail_errno(errno, "open /proc/thread-self/ns/net");
    }
    if (::unshare(CLONE_NEWNET) != 0) {
        return fail_errno(errno, "make a network namespace");
    }
    return ScratchNetwork(std::move(origin));
}

ScratchNetwork::~ScratchNetwork() {
    if (origin_.valid() && ::setns(origin_.get(), CLONE_NEWNET) != 0) {
        std::abort();
    }
}

}  // namespace podlane
