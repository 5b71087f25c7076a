// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <unordered_map>

#include "agent/observe/health.h"
#include "maps/spec.h"

namespace podlane {

// How much translations take of what is limited. Addresses and ports of `destination` and `pod` in network byte order.
struct NatUse {
    std::size_t translations = 0;
    nat_destination destination{};  // towards which most ports of the range are in use: `ports`
    std::size_t ports = 0;
    __be32 pod = 0;  // that holds most translations: `flows`
    std::size_t flows = 0;
};
// Of each limit that which takes more.
[[nodiscard]] NatUse larger_of(const NatUse& one, const NatUse& other);

// Counts translations, one after the other.
class NatTally {
public:
    // Of ports those count that `config` gives.
    explicit NatTally(const nat_config& config) : config_(config) {}

    void add(const flow_key& flow, const nat_entry& entry);
    void reset();
    [[nodiscard]] const NatUse& use() const { return use_; }

private:
    struct Hash {
        std::size_t operator()(const nat_destination& destination) const;
    };
    struct Equal {
        bool operator()(const nat_destination& one, const nat_destination& other) const;
    };
    nat_config config_;
    NatUse use_;
    std::unordered_map<nat_destination, std::size_t, Hash, Equal> ports_;
    std::unordered_map<__be32, std::size_t> flows_;
};

// What `agentctl status` says of it, as the subsystem `snat`: degraded above 90 % of the table, of the ports towards a
// destination or of a pod's share. `config` must be enabled.
[[nodiscard]] SubsystemHealth nat_health(const NatUse& use, const nat_config& config);

}  // namespace podlane
