// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/node.h"

#include <arpa/inet.h>

#include <algorithm>
#include <vector>

#include "maps/names.h"
#include "test/prog/harness/devices.h"
#include "test/prog/harness/sandbox.h"

namespace podlane::prog {
namespace {

// The devices of the whole cluster, in our one network namespace.
void create_all_devices() {
    static const bool created = [] {
        std::vector<Device> devices{{overlay_device, mac("02:50:c0:a8:64:01")}};
        for (const Pod& pod : pods()) {
            devices.push_back({pod.name, pod.host_mac});
        }
        for (const char* node : {"n1", "n2"}) {
            devices.push_back({underlay_device(node), underlay_mac(node)});
        }
        must(create_devices(devices));
        return true;
    }();
    static_cast<void>(created);
}

datapath_config config_of(const Member& self, encapsulation encapsulation) {
    datapath_config config{};
    config.node_address = self.address.wire();
    config.overlay_address = self.address.wire();
    config.vni = overlay_vni;
    config.overlay_ifindex = ifindex_of(overlay_device);
    config.overlay_port = htons(overlay_port);
    std::ranges::copy(self.vtep_mac.bytes(), config.vtep_mac);
    config.encapsulation = encapsulation;
    return config;
}

datapath_config with_nat(datapath_config config, const nat_config& nat) {
    config.nat = nat;
    return config;
}

PinDirectory created_pins(std::string_view name, std::string_view label) {
    PinDirectory pins(scratch_dir() / "bpf" / fmt::format("{}-{}", name, label));
    must(pins.create());
    return pins;
}

template <typename Spec>
Map<Spec> open_map(const PinDirectory& pins) {
    return must(Map<Spec>::open(pins.map(Spec::name)));
}

template <typename Spec>
void erase_everything(Map<Spec>& map) {
    std::vector<typename Spec::Key> keys;
    for (const auto& [key, value] : must(map.entries())) {
        keys.push_back(key);
    }
    must(map.erase_all(keys));
}

const Member& prepared(std::string_view name) {
    create_all_devices();
    return member(name);
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Count& count) {
    return out << count.packets << " packets, " << count.bytes << " bytes";
}

std::string counter_of(drop_reason reason, direction direction) {
    return fmt::format("drop {} {}", name_of(names::drop_reasons, reason), name_of(names::directions, direction));
}

std::string counter_of(handover_reason reason, direction direction) {
    return fmt::format("handover {} {}", name_of(names::handover_reasons, reason),
                       name_of(names::directions, direction));
}

std::string counter_of(forward_path path) {
    return fmt::format("path {}", name_of(names::forward_paths, path));
}

std::string to_string(const Flow& flow) {
    return fmt::format("{} {}:{} {}:{}", name_of(names::protocols, flow.protocol), flow.pod, flow.pod_port, flow.remote,
                       flow.remote_port);
}

const KernelFeatures& kernel_features() {
    static const KernelFeatures features = must(probe_kernel());
    return features;
}

bool kernel_writes_outer_headers() {
    return kernel_features().encapsulation == ENCAPSULATION_OWN_HEADERS;
}

Node::Node(std::string_view name, encapsulation encapsulation)
    : Node(prepared(name), config_of(prepared(name), encapsulation),
           created_pins(name, std::to_string(static_cast<int>(encapsulation)))) {}

Node::Node(std::string_view name, const nat_config& nat, std::string_view label, ::encapsulation encapsulation)
    : Node(prepared(name), with_nat(config_of(prepared(name), encapsulation), nat), created_pins(name, label)) {}

Node::Node(const Member& self, const datapath_config& config, PinDirectory pins)
    : self_(self),
      config_(config),
      pins_(std::move(pins)),
      datapath_(must(Datapath::load(pins_, config_))),
      pod_cidrs_(open_map<spec::nodes_by_pod_cidr>(pins_)),
      nodes_(open_map<spec::nodes_by_ipv4>(pins_)),
      pods_(open_map<spec::pods_by_ipv4>(pins_)),
      networks_(open_map<spec::networks_by_prefix>(pins_)),
      lengths_(open_map<spec::pod_cidr_lengths>(pins_)),
      flows_(open_map<spec::flow_owners>(pins_)),
      drops_(open_map<spec::drop_counters>(pins_)),
      handovers_(open_map<spec::handover_counters>(pins_)),
      paths_(open_map<spec::path_counters>(pins_)) {
    must(datapath_.load_l3(pins_, config_));
    fill();
}

void Node::reset() {
    erase_everything(pod_cidrs_);
    erase_everything(nodes_);
    erase_everything(pods_);
    erase_everything(networks_);
    erase_everything(flows_);
    fill();
    forget_counters();
}

node_route Node::route_to(const Member& other) const {
    node_route route{};
    const bool local = other.name == self_.name;
    route.vtep = other.address.wire();
    route.next_hop = other.next_hop.wire();
    route.ifindex = local || other.next_hop.is_unspecified() ? 0 : ifindex_of(underlay_device(self_.name));
    route.mtu = other.path == NODE_PATH_DIRECT ? link_mtu : path_mtu;
    std::ranges::copy(other.vtep_mac.bytes(), route.vtep_mac);
    route.path = static_cast<std::uint8_t>(local ? NODE_PATH_LOCAL : other.path);
    return route;
}

void Node::fill() {
    must(lengths_.update(0, schema::pod_cidr_lengths_value{}));
    for (const Member& other : members()) {
        const node_route route = route_to(other);
        set_pod_cidr(other.pod_cidr, route);
        must(nodes_.update(other.address.wire(), route));
        must(nodes_.update(other.pod_cidr.address().wire(), route));
    }
    must(networks_.update({16, address("10.244.0.0").wire()}, {NETWORK_CLUSTER}));
    for (const Pod& pod : pods()) {
        if (pod.node != self_.name) {
            continue;
        }
        pod_endpoint endpoint{};
        endpoint.ifindex = ifindex_of(pod.name);
        endpoint.mtu = pod.mtu;
        endpoint.gateway = Ipv4Address::from_host(self_.pod_cidr.address().host() + 1).wire();
        std::ranges::copy(pod.mac.bytes(), endpoint.mac);
        std::ranges::copy(pod.host_mac.bytes(), endpoint.host_mac);
        must(pods_.update(pod.address.wire(), endpoint));
    }
}

void Node::set_pod_flags(Ipv4Address pod, std::uint8_t flags) {
    auto endpoint = must(pods_.lookup(pod.wire())).value();
    endpoint.flags = flags;
    must(pods_.update(pod.wire(), endpoint));
}

void Node::set_pod_cidr(const Ipv4Prefix& prefix, const node_route& route) {
    must(pod_cidrs_.update({prefix.address().wire(), prefix.length()}, route));
    auto lengths = must(lengths_.lookup(0)).value();
    const auto used = lengths.length + lengths.count;
    const auto length = static_cast<std::uint8_t>(prefix.length());
    if (std::find(lengths.length, used, length) == used) {
        *used = length;
        lengths.count += 1;
        std::sort(lengths.length, lengths.length + lengths.count, std::greater<>());
        must(lengths_.update(0, lengths));
    }
}

Outcome Node::run(const At& at, const Bytes& packet) const {
    return must(run_program(
        datapath_.program_fd(at.hook), packet,
        {.ifindex = ifindex_of(at.device), .mark = at.mark, .gso_size = at.gso_size, .gso_segs = at.gso_segs}));
}

Counted Node::totals() const {
    Counted all;
    const auto add = [&](const std::string& name, const std::vector<packet_counter>& per_cpu) {
        const packet_counter total = sum(per_cpu);
        if (total.packets != 0) {
            all[name] = {total.packets, total.bytes};
        }
    };
    for (const auto& [key, value] : must(drops_.entries())) {
        add(counter_of(static_cast<drop_reason>(key.reason), static_cast<direction>(key.direction)), value);
    }
    for (const auto& [key, value] : must(handovers_.entries())) {
        add(counter_of(static_cast<handover_reason>(key.reason), static_cast<direction>(key.direction)), value);
    }
    for (const auto& [key, value] : must(paths_.entries())) {
        add(counter_of(static_cast<forward_path>(key)), value);
    }
    return all;
}

Counted Node::counted() {
    const Counted now = totals();
    Counted difference;
    for (const auto& [name, count] : now) {
        const Count before = reported_[name];
        if (count != before) {
            difference[name] = {count.packets - before.packets, count.bytes - before.bytes};
        }
    }
    reported_ = now;
    return difference;
}

Flows Node::flows() const {
    Flows all;
    for (const auto& [key, entry] : must(flows_.entries())) {
        const Flow flow{key.protocol, Ipv4Address::from_wire(key.pod_address), ntohs(key.pod_port),
                        Ipv4Address::from_wire(key.remote_address), ntohs(key.remote_port)};
        std::string owner = name_of(static_cast<flow_owner>(entry.owner));
        for (const flow_pending bit : {FLOW_PENDING_FROM_POD, FLOW_PENDING_TO_POD}) {
            if ((entry.pending & bit) != 0) {
                owner += " " + name_of(bit);
            }
        }
        all[to_string(flow)] = owner;
    }
    return all;
}

void Node::set_flow(const Flow& flow, flow_owner owner, std::uint8_t pending) {
    schema::flow_owners_key key{};
    key.pod_address = flow.pod.wire();
    key.remote_address = flow.remote.wire();
    key.pod_port = htons(flow.pod_port);
    key.remote_port = htons(flow.remote_port);
    key.protocol = flow.protocol;
    must(flows_.update(key, {.owner = static_cast<std::uint8_t>(owner), .pending = pending, .unmerged = 0, .pad = {}}));
}

}  // namespace podlane::prog
