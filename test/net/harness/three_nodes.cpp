// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/three_nodes.h"

#include <fmt/format.h>

#include "test/net/harness/error.h"

namespace podlane::net {
namespace {

constexpr unsigned mtu = 1500;

Ipv4Address parse(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

// Answers ARP for whatever it has a route to by another device, and at once.
void answer_arp_for_others(const Namespace& router) {
    set_sysctl(router, fmt::format("net/ipv4/conf/{}/proxy_arp", Underlay::bridge), "1");
    set_sysctl(router, fmt::format("net/ipv4/neigh/{}/proxy_delay", Underlay::bridge), "0");
}

}  // namespace

void ThreeNodeNetwork::build(const Modes& modes, FarNode far) {
    near_ = std::make_unique<Underlay>(mtu);
    far_ = std::make_unique<Underlay>(mtu, parse(far == FarNode::routed ? "192.168.9.254" : "192.168.0.253"));
    connect_wires(far);
    std::vector<NodeRecord> records;
    for (unsigned number = 1; number <= 3; ++number) {
        const auto address =
            number == 3 && far == FarNode::routed ? parse("192.168.9.3") : Cluster::node_address(number);
        const NodeOptions options{.name = fmt::format("n{}", number),
                                  .internal_ip = address,
                                  .pod_cidr = Cluster::pod_cidr(number),
                                  .flannel = false,
                                  .extra_config = "",
                                  .without = {},
                                  .mode = modes.at(number - 1)};
        nodes_.push_back(std::make_unique<Node>(number == 3 ? *far_ : *near_, options));
        records.push_back({options.name, options.internal_ip, {options.pod_cidr}, {}});
    }
    for (auto& node : nodes_) {
        node->write_state(to_node_list(records));
        node->start_agent();
    }
    for (auto& node : nodes_) {
        start(*node);
    }
    for (const unsigned number : {1U, 2U}) {
        if (modes.at(number - 1) != "vxlan") {
            expect_path(number, 3 - number, "direct", 20s);
        }
    }
}

void ThreeNodeNetwork::connect_wires(FarNode far) {
    connect_by_veth({wire(), "uplink"}, {far_wire(), "uplink"}, mtu);
    ip(wire(), "address add 10.99.0.1/30 dev uplink");
    ip(far_wire(), "address add 10.99.0.2/30 dev uplink");
    for (const auto* router : {&wire(), &far_wire()}) {
        set_sysctl(*router, "net/ipv4/ip_forward", "1");
        set_sysctl(*router, "net/ipv4/conf/all/send_redirects", "0");
    }
    if (far == FarNode::routed) {
        ip(wire(), "route add 192.168.9.0/24 via 10.99.0.2");
        ip(far_wire(), "route add 192.168.0.0/24 via 10.99.0.1");
        return;
    }
    ip(wire(), "route add 192.168.0.3/32 via 10.99.0.2");
    ip(far_wire(), "route add 192.168.0.1/32 via 10.99.0.1");
    ip(far_wire(), "route add 192.168.0.2/32 via 10.99.0.1");
    answer_arp_for_others(wire());
    answer_arp_for_others(far_wire());
}

// A node that may not reach every other is degraded, and forwards all the same.
void ThreeNodeNetwork::start(Node& node) {
    const bool forwards = wait_until(
        [&] {
            const auto status = node.agentctl({"status", "-o", "json"});
            const auto parsed = nlohmann::json::parse(status.out, nullptr, false);
            if (parsed.is_discarded()) {
                return false;
            }
            return std::ranges::any_of(parsed.at("subsystems"), [](const nlohmann::json& one) {
                return one.at("name") == "pods" && one.at("state") == "ok";
            });
        },
        15s);
    if (!forwards) {
        raise_error("node {} does not forward: {}", node.name(), node.agentctl({"status"}).describe());
    }
    pods_.push_back(&node.add_pod(fmt::format("p{}", node.name())));
}

DeviceRef ThreeNodeNetwork::port(unsigned number) {
    return {number == 3 ? far_wire() : wire(), Underlay::port_of(node(number).name())};
}

ThreeNodeNetwork::Listed ThreeNodeNetwork::listed(unsigned on, unsigned about) {
    for (const auto& one : node(on).agentctl_json({"node", "list"})) {
        if (one.at("name") == node(about).name()) {
            return {one.at("path"), one.at("reason")};
        }
    }
    raise_error("node {} does not list node {}", on, about);
}

std::chrono::milliseconds ThreeNodeNetwork::expect_path(unsigned on, unsigned about, const std::string& path,
                                                        std::chrono::milliseconds timeout) {
    const auto start = std::chrono::steady_clock::now();
    const bool reached = wait_until([&] { return listed(on, about).path == path; }, timeout);
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
    const auto last = listed(on, about);
    EXPECT_TRUE(reached) << "on node " << on << ", node " << about << " is still " << last.path << ": " << last.reason;
    return took;
}

nlohmann::json ThreeNodeNetwork::subsystem(unsigned on, const std::string& name) {
    const auto status = node(on).agentctl({"status", "-o", "json"});
    const auto parsed = nlohmann::json::parse(status.out, nullptr, false);
    if (parsed.is_discarded()) {
        raise_error("not JSON: {}", status.describe());
    }
    for (const auto& one : parsed.at("subsystems")) {
        if (one.at("name") == name) {
            return one;
        }
    }
    raise_error("no subsystem {}: {}", name, status.out);
}

void ThreeNodeNetwork::set_offload_everywhere(Offload offload) {
    for (const unsigned number : {1U, 2U, 3U}) {
        set_segmentation_offload(pod(number).device(), offload);
        set_segmentation_offload(node(number).device(), offload);
        set_segmentation_offload(port(number), offload);
    }
}

}  // namespace podlane::net
