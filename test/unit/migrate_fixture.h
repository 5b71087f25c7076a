// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "agent/migrate/facts.h"
#include "maps/spec.h"

// A node that flannel left in good order, with podlane's agent in sync: peers n2 and n3, pods web and db on cni0.
namespace podlane::migrate {

inline Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}
inline Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}
inline MacAddress mac(std::string_view text) {
    return MacAddress::parse(text).value();
}

inline constexpr const char* own_mac = "0e:61:06:ff:7a:01";
inline constexpr const char* web_mac = "02:00:00:00:00:0a";

inline MacAddress mac_of_peer(unsigned number) {
    return MacAddress({0x0e, 0x61, 0x06, 0xff, 0x7a, static_cast<std::uint8_t>(number)});
}
inline Ipv4Prefix cidr_of(unsigned number) {
    return Ipv4Prefix::masked(Ipv4Address::from_host(0x0af40000U + (number << 8U)), 24);
}
inline Ipv4Address address_of_node(unsigned number) {
    return Ipv4Address::from_host(0xc0a80000U + number);
}

inline void add_peer(FlannelNetwork& network, unsigned number) {
    const auto gateway = cidr_of(number).address();
    network.routes.push_back(
        {.device = network.device.name, .route = {.destination = cidr_of(number), .gateway = gateway}});
    network.neighbours.push_back({.address = gateway, .mac = mac_of_peer(number)});
    netlink::FdbEntry entry;
    entry.mac = mac_of_peer(number);
    entry.remote = address_of_node(number);
    network.fdb.push_back(entry);
}

inline FlannelNetwork good_network() {
    FlannelNetwork network;
    network.device = {
        .name = "flannel.1", .mac = mac(own_mac), .mtu = 1450, .local = address("192.168.0.1"), .lower = "eth0"};
    add_peer(network, 2);
    add_peer(network, 3);
    return network;
}

inline AgentNode agent_node(unsigned number) {
    return {.name = "n" + std::to_string(number),
            .internal_ip = address_of_node(number),
            .pod_cidrs = {cidr_of(number)},
            .path = number == 1 ? "local" : "vxlan",
            .reason = {}};
}

inline AgentView good_agent() {
    AgentView view;
    view.node = "n1";
    view.mtu = 1450;
    view.subsystems = {{"state", "ok", "", ""},
                       {"overlay", "degraded", "flannel.1 is borrowed", "agentctl migrate commit"}};
    view.nodes = {agent_node(1), agent_node(2), agent_node(3)};
    return view;
}

inline CniAttachment attachment(const std::string& name, const std::string& port, std::string_view ip,
                                std::string_view pod_mac) {
    CniAttachment made;
    made.container_id = name + "0123";
    made.if_name = "eth0";
    made.network = "cbr0";
    made.netns = "/run/netns/" + name;
    made.name_space = "default";
    made.name = name;
    made.uid = "uid-" + name;
    made.host_interface = port;
    made.mac = mac(pod_mac);
    made.ip = address(ip);
    return made;
}

inline netfilter::FlannelRules some_rules() {
    return {.tables = {{.name = "nat", .chains = {{.name = "FLANNEL-POSTRTG", .own = true}}}}};
}

inline Facts good_facts() {
    Facts facts;
    facts.config.overlay.flannel = true;
    facts.config.cni.config_file = "/etc/cni/net.d/05-podlane.conflist";
    facts.record_file = "/var/lib/podlane/migration.json";
    facts.bridge_name = "cni0";
    facts.agent = good_agent();
    facts.flannel = good_network();
    facts.flannel_is_up = true;
    facts.bridge = Bridge{.name = "cni0",
                          .mac = mac("02:00:00:00:00:01"),
                          .addresses = {address("10.244.1.1")},
                          .ports = {{"veth-db", 8, 1450}, {"veth-web", 7, 1450}}};
    facts.net_conf = NetConf{.network = prefix("10.244.0.0/16"), .backend = "vxlan"};
    facts.subnet_env = SubnetEnv{.network = prefix("10.244.0.0/16"),
                                 .gateway = address("10.244.1.1"),
                                 .subnet = prefix("10.244.1.0/24"),
                                 .mtu = 1450,
                                 .ip_masq = true};
    facts.results.attachments = {attachment("db", "veth-db", "10.244.1.3", "02:00:00:00:00:0b"),
                                 attachment("web", "veth-web", "10.244.1.2", web_mac)};
    facts.cni = {{.path = "/etc/cni/net.d/05-podlane.conflist",
                  .network = "cbr0",
                  .plugins = {"podlane", "portmap"},
                  .store = "/var/lib/cni/networks"},
                 {.path = "/etc/cni/net.d/10-flannel.conflist",
                  .network = "cbr0",
                  .plugins = {"flannel", "portmap"},
                  .store = "/var/lib/cni/networks"}};
    facts.rules = some_rules();
    for (const unsigned number : {1U, 2U, 3U}) {
        facts.nodes_by_pod_cidr[cidr_of(number)] = {
            .vtep = address_of_node(number),
            .mac = mac_of_peer(number),
            .path = static_cast<unsigned>(number == 1 ? NODE_PATH_LOCAL : NODE_PATH_VXLAN)};
    }
    return facts;
}

inline Record good_record() {
    Record record;
    record.node = "n1";
    record.time = "2026-11-22T21:00:00Z";
    record.bridge = "cni0";
    record.agent = {.run_dir = "/run/podlane",
                    .bpffs = "/sys/fs/bpf/podlane",
                    .overlay_device = "podlane0",
                    .cni_config_file = "/etc/cni/net.d/05-podlane.conflist"};
    record.network = good_network();
    record.adopted = {"db0123-eth0", "web0123-eth0"};
    record.silent_peers = {address("10.244.3.0")};
    return record;
}

// After apply: both pods are the agent's, with their hooks.
inline Facts applied_facts() {
    auto facts = good_facts();
    facts.rules = {};
    facts.record = good_record();
    facts.record->silent_peers.clear();
    for (const auto& result : facts.results.attachments) {
        Endpoint endpoint;
        endpoint.container_id = result.container_id;
        endpoint.if_name = result.if_name;
        endpoint.name_space = result.name_space;
        endpoint.name = result.name;
        endpoint.host_interface = result.host_interface;
        endpoint.ip = result.ip;
        endpoint.mac = result.mac;
        facts.agent->endpoints.push_back(endpoint);
        for (const auto* hook : {"from-pod", "to-pod"}) {
            facts.agent->links.push_back({"hook", result.host_interface + " " + hook, "ok"});
        }
    }
    return facts;
}

// flannel's device has made way for podlane's.
inline Facts switched_facts() {
    auto facts = applied_facts();
    facts.flannel.reset();
    facts.flannel_is_up = false;
    facts.overlay_mac = mac(own_mac);
    facts.agent->subsystems.back() = {"overlay", "ok", "podlane0 mtu 1450", ""};
    return facts;
}

// flannel's device has gone down, and podlane's has its place.
inline Facts replaced_facts() {
    auto facts = switched_facts();
    facts.flannel = good_network();
    facts.flannel->routes.clear();
    facts.flannel->neighbours.clear();
    return facts;
}

}  // namespace podlane::migrate
