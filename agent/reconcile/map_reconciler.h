// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/state/desired_state.h"
#include "agent/state/recall.h"
#include "loader/bpffs.h"
#include "maps/base/result.h"

namespace podlane {

struct MapReport {
    std::size_t updated = 0;  // entries added or changed
    std::size_t removed = 0;
    std::vector<Error> errors;  // one per map that could not be brought in order; the others were
};

// The podCIDRs in the pinned map of an earlier agent; none where there is no such map.
[[nodiscard]] std::vector<PodCidrOwner> read_pod_cidr_owners(const PinDirectory& pins);
// What is and is not translated by the pinned map of an earlier agent; nothing where there is no such map.
[[nodiscard]] IpMasqAgentConfig read_ip_masq_agent(const PinDirectory& pins);

// Makes the maps that describe the cluster hold what is wanted, touching differences only. What they hold is read
// from the kernel at the first pass and by reread(), so a restarted agent takes over its predecessor's entries without
// a gap.
class MapReconciler {
public:
    // The maps must be pinned.
    [[nodiscard]] static Result<MapReconciler> open(const PinDirectory& pins);
    MapReconciler(MapReconciler&&) noexcept;
    MapReconciler& operator=(MapReconciler&&) noexcept;
    MapReconciler(const MapReconciler&) = delete;
    MapReconciler& operator=(const MapReconciler&) = delete;
    ~MapReconciler();

    // Reads anew what the maps hold, which nothing else tells when somebody changes them. Returns how many entries
    // differ from what the last pass left; the next reconcile() puts them right.
    [[nodiscard]] Result<std::size_t> reread();

    // Additions come before removals, so that a node that moves is never without an entry; after them where a map has
    // no room for both. Of more than a map holds clusterCIDRs and serviceCIDRs are in it, the rest by chance.
    [[nodiscard]] MapReport reconcile(const WantedMaps& wanted);

    // Entries of each map, as of the last pass.
    [[nodiscard]] std::vector<std::pair<std::string_view, std::size_t>> sizes() const;

private:
    struct Maps;
    explicit MapReconciler(std::unique_ptr<Maps> maps);
    std::unique_ptr<Maps> maps_;
};

}  // namespace podlane
