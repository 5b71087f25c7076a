// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "loader/feature.h"
#include "maps/base/result.h"
#include "maps/spec.h"

namespace podlane {

// How programs are attached to tc hooks.
enum class AttachMethod {
    tcx,     // BPF links (Linux 6.6)
    clsact,  // filters of a clsact qdisc
};

// What the kernel holds the memory of maps and programs against.
enum class MemoryAccounting {
    cgroup,  // the process's control group (Linux 5.11)
    rlimit,  // RLIMIT_MEMLOCK, of all processes of the user together
};

// Which packets an XDP program may be given.
enum class XdpBuffers {
    several,  // also those that lie in several buffers (Linux 5.18)
    one,
};

// The ways that podlane takes on this kernel, found out by trying and not by its version.
struct KernelFeatures {
    AttachMethod attach = AttachMethod::clsact;
    ::encapsulation encapsulation = ENCAPSULATION_TUNNEL_DEVICE;
    MemoryAccounting memory = MemoryAccounting::rlimit;
    XdpBuffers xdp = XdpBuffers::one;

    bool operator==(const KernelFeatures&) const = default;
};

// In plain words: "tcx", "own headers", "cgroup", "several buffers".
[[nodiscard]] std::string_view to_string(AttachMethod method);
[[nodiscard]] std::string_view to_string(::encapsulation encapsulation);
[[nodiscard]] std::string_view to_string(MemoryAccounting memory);
[[nodiscard]] std::string_view to_string(XdpBuffers buffers);

// Fails with one line that names what is missing when this kernel, or this process's privileges, cannot run podlane's
// programs. `without`: what is taken for missing, be it there or not. Changes nothing but the process's RLIMIT_MEMLOCK,
// which is raised where maps are charged to it. Not with other threads about: for a moment the limit is zero, and the
// calling thread may be in a network namespace of its own.
[[nodiscard]] Result<KernelFeatures> probe_kernel(const FeatureSet& without = {});

}  // namespace podlane
