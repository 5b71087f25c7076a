// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "loader/bpffs.h"
#include "loader/probe.h"
#include "maps/base/result.h"
#include "maps/spec.h"

namespace podlane {

// The XDP program in front of the overlay, loaded. It stands by itself, so that what keeps it from loading keeps no
// pod from talking: the programs at tc make the same checks.
class GuardProgram {
public:
    // Shares the datapath's pinned maps. An error where one is missing: over maps of its own, which nobody fills, the
    // guard would take every node for a stranger. `buffers`: as the kernel was probed.
    [[nodiscard]] static Result<GuardProgram> load(const PinDirectory& pins, const datapath_config& config,
                                                   XdpBuffers buffers);

    GuardProgram(GuardProgram&&) noexcept;
    GuardProgram& operator=(GuardProgram&&) noexcept;
    GuardProgram(const GuardProgram&) = delete;
    GuardProgram& operator=(const GuardProgram&) = delete;
    ~GuardProgram();

    // The program's; the guard keeps it.
    [[nodiscard]] int fd() const;

private:
    struct Object;
    explicit GuardProgram(std::unique_ptr<Object> object);
    std::unique_ptr<Object> object_;
};

}  // namespace podlane
