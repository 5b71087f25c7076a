// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>

#include "loader/datapath.h"
#include "loader/probe.h"
#include "maps/typed_map.h"
#include "test/prog/harness/cluster.h"
#include "test/prog/harness/program_run.h"

namespace podlane::prog {

// The value, or the end of the test.
template <typename T>
T must(Result<T> result) {
    if (!result) {
        throw std::runtime_error(result.error().message);
    }
    if constexpr (!std::is_void_v<T>) {
        return std::move(*result);
    }
}

// A place where packets are put in: a program, and the device and context that it sees.
struct At {
    Hook hook;
    std::string device;
    std::uint32_t mark = 0;
    std::uint32_t gso_size = 0;
    std::uint32_t gso_segs = 0;
};

// What programs counted: "drop spoofed-source from-pod" -> packets, bytes.
struct Count {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    bool operator==(const Count&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Count& count);
using Counted = std::map<std::string, Count>;
[[nodiscard]] std::string counter_of(drop_reason reason, direction direction);
[[nodiscard]] std::string counter_of(handover_reason reason, direction direction);
[[nodiscard]] std::string counter_of(forward_path path);

// A flow as a pod of this node sees it.
struct Flow {
    std::uint8_t protocol = 0;
    Ipv4Address pod;
    std::uint16_t pod_port = 0;
    Ipv4Address remote;
    std::uint16_t remote_port = 0;
};
// "tcp 10.244.1.5:40000 10.244.2.7:80" -> "fast", "stack", "undecided", "undecided from-pod", ...
using Flows = std::map<std::string, std::string>;
[[nodiscard]] std::string to_string(const Flow& flow);

// Whether the programs can write outer headers on this kernel, or leave that to the overlay device.
[[nodiscard]] bool kernel_writes_outer_headers();
[[nodiscard]] const KernelFeatures& kernel_features();

// The programs of one node of the cluster, with maps as its agent would fill them.
class Node {
public:
    Node(std::string_view name, encapsulation encapsulation = ENCAPSULATION_OWN_HEADERS);
    // One that translates; `label` tells it from other nodes of that name.
    Node(std::string_view name, const nat_config& nat, std::string_view label,
         encapsulation encapsulation = ENCAPSULATION_OWN_HEADERS);

    // Back to the maps of the cluster, no flows.
    void reset();

    [[nodiscard]] Outcome run(const At& at, const Bytes& packet) const;

    // What was counted since the last call, or since forget_counters().
    [[nodiscard]] Counted counted();
    void forget_counters() { reported_ = totals(); }

    [[nodiscard]] Flows flows() const;
    void set_flow(const Flow& flow, flow_owner owner, std::uint8_t pending = 0);

    // Of a pod of this node: enum pod_flag, bits.
    void set_pod_flags(Ipv4Address pod, std::uint8_t flags);

    // Adds or replaces a podCIDR of another node, and makes its prefix length known.
    void set_pod_cidr(const Ipv4Prefix& prefix, const node_route& route);
    [[nodiscard]] node_route route_to(const Member& other) const;

    [[nodiscard]] int program_fd(Hook hook) const { return datapath_.program_fd(hook); }
    [[nodiscard]] int nat_sweep_fd() const { return datapath_.nat_sweep_fd(); }
    [[nodiscard]] const datapath_config& config() const { return config_; }
    [[nodiscard]] const PinDirectory& pins() const { return pins_; }

private:
    Node(const Member& self, const datapath_config& config, PinDirectory pins);
    void fill();
    [[nodiscard]] Counted totals() const;

    const Member& self_;
    datapath_config config_;
    PinDirectory pins_;
    Datapath datapath_;
    Map<spec::nodes_by_pod_cidr> pod_cidrs_;
    Map<spec::nodes_by_ipv4> nodes_;
    Map<spec::pods_by_ipv4> pods_;
    Map<spec::networks_by_prefix> networks_;
    Map<spec::pod_cidr_lengths> lengths_;
    Map<spec::flow_owners> flows_;
    Map<spec::drop_counters> drops_;
    Map<spec::handover_counters> handovers_;
    Map<spec::path_counters> paths_;
    Counted reported_;
};

}  // namespace podlane::prog
