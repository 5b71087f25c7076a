// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "maps/base/result.h"

namespace podlane {

// How programs are attached to tc hooks.
enum class AttachMethod {
    tcx,     // BPF links (Linux 6.6)
    clsact,  // filters of a clsact qdisc
};

// What this kernel offers, found out by trying and not by its version.
struct KernelFeatures {
    AttachMethod attach = AttachMethod::clsact;
};

// Fails with one line that names what is missing when this kernel, or this process's privileges, cannot run podlane.
[[nodiscard]] Result<KernelFeatures> probe_kernel();

}  // namespace podlane
