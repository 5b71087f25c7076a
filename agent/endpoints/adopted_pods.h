// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane {

// A macvlan pod of which no record tells, known from the kernel alone.
struct AdoptedPod {
    std::string network;  // of the configuration
    Ipv4Address ip;
    MacAddress mac;

    auto operator<=>(const AdoptedPod&) const = default;
};

// Which pods an agent took over when the run directory was lost. An agent that starts later must not take over others:
// what else the kernel knows is of pods that were deleted meanwhile. A file of the run directory.
class AdoptedPods {
public:
    explicit AdoptedPods(std::filesystem::path file) : file_(std::move(file)) {}

    // Reads the file; without one there are none. An error names the file; there are none then.
    [[nodiscard]] Result<void> load();
    [[nodiscard]] const std::set<AdoptedPod>& all() const { return pods_; }
    // Replaces all of them, in the file as well when that changes anything.
    [[nodiscard]] Result<void> keep(std::set<AdoptedPod> pods);
    // Writes the file again, for a directory that somebody removed.
    [[nodiscard]] Result<void> rewrite() const;

private:
    std::filesystem::path file_;
    std::set<AdoptedPod> pods_;
};

}  // namespace podlane
