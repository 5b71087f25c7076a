// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/macvlan.h"

#include <algorithm>

#include "test/prog/harness/devices.h"

namespace podlane::prog {
namespace {

nat_config macvlan_with(std::uint32_t enabled) {
    nat_config config = nat_config_for(nat_range.first, nat_range.last);
    config.enabled = enabled;
    config.macvlan = 1;
    return config;
}

template <typename Spec>
Map<Spec> map_of(Node& node) {
    return must(Map<Spec>::open(node.pins().map(Spec::name)));
}

template <typename Spec>
void clear(Node& node) {
    auto map = map_of<Spec>(node);
    std::vector<typename Spec::Key> keys;
    for (const auto& [key, value] : must(map.entries())) {
        keys.push_back(key);
    }
    must(map.erase_all(keys));
}

void create_shim_once() {
    static const bool created = [] {
        must(create_devices({{shim_device, shim_mac}}));
        return true;
    }();
    static_cast<void>(created);
}

void reset_macvlan(Node& node) {
    create_shim_once();
    connect_underlay();
    clear<spec::nat_by_flow>(node);
    clear<spec::nat_by_reply>(node);
    clear<spec::nat_ports_by_destination>(node);
    clear<spec::nat_flows_by_pod>(node);
    clear<spec::nat_fragments>(node);
    auto pods = map_of<spec::macvlan_pods_by_ipv4>(node);
    for (const auto& [ip, mac] : {std::pair{mac1_ip, mac1_mac}, {mac2_ip, mac2_mac}}) {
        macvlan_pod pod{};
        pod.ifindex = ifindex_of(shim_device);
        pod.host_address = host_ip.wire();
        std::ranges::copy(mac.bytes(), pod.mac);
        must(pods.update(ip.wire(), pod));
    }
    node.reset();
}

}  // namespace

Node& MacvlanTest::node() {
    static Node node("n1", macvlan_with(0), "macvlan");
    return node;
}

Node& MacvlanTest::translating_node() {
    static Node node("n1", macvlan_with(1), "macvlan-nat");
    return node;
}

void MacvlanTest::SetUp() {
    for (Node* one : {&node(), &translating_node()}) {
        reset_macvlan(*one);
    }
    auto devices = map_of<spec::nat_address_by_device>(translating_node());
    must(devices.update(ifindex_of("eth1"), uplink_of_n1()));
    must(devices.update(ifindex_of(shim_device), uplink_of_n1(0, host_ip)));
}

testing::AssertionResult MacvlanTest::drops(const At& at, const Bytes& packet, drop_reason reason) {
    return comes_to(node(), at, packet, {Verdict::drop, packet, at.mark},
                    once(counter_of(reason, direction_of(at.hook)), packet));
}

testing::AssertionResult MacvlanTest::passes(const At& at, const Bytes& packet, forward_path path) {
    return becomes(at, packet, packet, {path});
}

testing::AssertionResult MacvlanTest::leaves_alone(const At& at, const Bytes& packet) {
    return becomes(at, packet, packet, {});
}

testing::AssertionResult MacvlanTest::becomes(const At& at, const Bytes& packet, const Bytes& expected,
                                              const std::vector<forward_path>& paths) {
    Counted counted;
    for (const auto path : paths) {
        counted.merge(once(counter_of(path), packet));
    }
    return comes_to(node(), at, packet, {Verdict::pass, expected, at.mark}, counted);
}

}  // namespace podlane::prog
