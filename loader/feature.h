// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace podlane {

// What a kernel may have or lack. Without one of the first four podlane takes another way; without one of the others
// it cannot run.
enum class Feature {
    tcx,
    own_headers,
    cgroup_memory,
    xdp_fragments,
    bpf_fs,
    sch_cls,
    redirect_peer,
    redirect_neigh,
    clsact,  // required only where there is no TCX
    vxlan,
};
inline constexpr std::size_t feature_count = 10;

// As `--without-feature` spells it: "own-headers".
[[nodiscard]] std::string_view to_string(Feature feature);
// The error lists every name there is.
[[nodiscard]] Result<Feature> parse_feature(std::string_view name);

// One line for the lack of a feature that podlane cannot do without: what is missing, and the kernel that has it.
[[nodiscard]] Error missing(Feature feature);

class FeatureSet {
public:
    void insert(Feature feature) { bits_.set(static_cast<std::size_t>(feature)); }
    [[nodiscard]] bool contains(Feature feature) const { return bits_.test(static_cast<std::size_t>(feature)); }
    [[nodiscard]] bool empty() const { return bits_.none(); }
    // "tcx, own-headers"
    [[nodiscard]] std::string to_string() const;

    bool operator==(const FeatureSet&) const = default;

private:
    std::bitset<feature_count> bits_;
};

}  // namespace podlane
