// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane {

// Moves the calling thread into a new, empty network namespace for as long as it lives, where things can be tried out
// without a trace. Needs CAP_SYS_ADMIN. When the way back fails the process aborts: everything it did next would hit
// the wrong node.
class ScratchNetwork {
public:
    [[nodiscard]] static Result<ScratchNetwork> enter();

    ScratchNetwork(ScratchNetwork&&) noexcept = default;
    ScratchNetwork& operator=(ScratchNetwork&&) = delete;
    ScratchNetwork(const ScratchNetwork&) = delete;
    ScratchNetwork& operator=(const ScratchNetwork&) = delete;
    ~ScratchNetwork();

private:
    explicit ScratchNetwork(Fd origin) : origin_(std::move(origin)) {}
    Fd origin_;
};

}  // namespace podlane
