// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/lan.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "test/net/harness/packet.h"
#include "test/net/harness/process.h"

namespace podlane::net {
namespace {

constexpr std::size_t ethernet = 14;

std::uint16_t type_of(const Frame& frame) {
    return static_cast<std::uint16_t>(frame.bytes[12] << 8U | frame.bytes[13]);
}

Ipv4Address address_at(const Frame& frame, std::size_t offset) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        value = value << 8U | frame.bytes[offset + i];
    }
    return Ipv4Address::from_host(value);
}

std::string mac_at(const Frame& frame, std::size_t offset) {
    std::array<std::uint8_t, 6> mac{};
    std::copy_n(frame.bytes.begin() + static_cast<std::ptrdiff_t>(offset), mac.size(), mac.begin());
    return MacAddress(mac).to_string();
}

bool is_arp_of(const Frame& frame, Ipv4Address address) {
    return frame.bytes.size() >= ethernet + 28 && type_of(frame) == ethertype_arp &&
           address_at(frame, ethernet + 14) == address;
}

bool is_ipv4_of(const Frame& frame, Ipv4Address address) {
    return frame.bytes.size() >= ethernet + 20 && type_of(frame) == ethertype_ipv4 &&
           address_at(frame, ethernet + 12) == address;
}

constexpr const char* nic = "em2";
constexpr const char* second_nic = "em3";

std::string name_of_device(LanPort kind) {
    switch (kind) {
        case LanPort::vlan:
            return "em2.7";
        case LanPort::bond:
            return "bond0";
        case LanPort::nic:
            break;
    }
    return nic;
}

void up_without_ipv6(const Namespace& ns, const std::string& device) {
    set_sysctl(ns, fmt::format("net/ipv6/conf/{}/disable_ipv6", device), "1");
    ip(ns, fmt::format("link set {} up", device));
}

}  // namespace

std::string why_no(LanPort kind) {
    if (kind == LanPort::nic) {
        return {};
    }
    const Namespace probe("probe");
    ip(probe, "link add base type veth peer name other");
    const auto made =
        run(probe, kind == LanPort::vlan ? std::vector<std::string>{"ip", "link", "add", "link", "base", "name",
                                                                    "probe", "type", "vlan", "id", "7"}
                                         : std::vector<std::string>{"ip", "link", "add", "probe", "type", "bond"});
    return made.ok() ? std::string() : fmt::format("this kernel makes no {}: {}", name_of_device(kind), made.err);
}

Lan::Lan(LanPort kind)
    : kind_(kind),
      own_(std::make_unique<Namespace>("lan")),
      ns_(own_.get()),
      bridge_("lan"),
      device_(name_of_device(kind)),
      prefix_(0xac140700),
      first_host_(100) {
    ip(*ns_, fmt::format("link add {} type bridge mcast_snooping 0", bridge_));
    up_without_ipv6(*ns_, bridge_);
    attach(gateway_, "lan", "port-gateway", gateway());
    connect_neighbours();
}

Lan::Lan(const Underlay& underlay)
    : ns_(&underlay.ns()),
      bridge_(Underlay::bridge),
      device_(Underlay::node_device),
      prefix_(0xc0a80000),
      first_host_(1) {
    connect_neighbours();
}

void Lan::attach(const Namespace& ns, const std::string& device, const std::string& port, Ipv4Address address) {
    connect_by_veth({ns, device}, {*ns_, port}, 1500);
    ip(*ns_, fmt::format("link set {} master {}", port, bridge_));
    ip(ns, fmt::format("address add {}/24 dev {}", address, device));
}

// The underlay's own namespace is its gateway.
void Lan::connect_neighbours() {
    const Namespace& router = own_ ? gateway_ : *ns_;
    attach(neighbour_, "eth0", "port-neighbour", neighbour_address());
    ip(neighbour_, fmt::format("route add default via {}", gateway()));
    connect_by_veth({internet_, "eth0"}, {router, "internet"}, 1500);
    ip(router, "address add 203.0.113.254/24 dev internet");
    set_sysctl(router, "net/ipv4/ip_forward", "1");
    ip(internet_, fmt::format("address add {}/24 dev eth0", internet_address));
    ip(internet_, "route add default via 203.0.113.254");
}

void Lan::join(const Namespace& node, const std::string& node_name, unsigned number) {
    const auto port = "port-" + node_name;
    if (own_ && kind_ == LanPort::nic) {
        attach(node, device_, port, host_address(number));
    } else if (own_) {
        kind_ == LanPort::vlan ? plug_in_vlan(node, node_name) : plug_in_bond(node, node_name);
        ip(*ns_, fmt::format("link set {} master {}", port, bridge_));
        ip(node, fmt::format("address add {}/24 dev {}", host_address(number), device_));
    }
}

// em2.7 - em2 === trunk - port: frames between the two have a tag.
void Lan::plug_in_vlan(const Namespace& node, const std::string& node_name) const {
    const auto trunk = "trunk-" + node_name;
    connect_by_veth({node, nic}, {*ns_, trunk}, 1500);
    for (const auto& [ns, lower, upper] :
         {std::tuple{&node, std::string(nic), device_}, {ns_, trunk, "port-" + node_name}}) {
        ip(*ns, fmt::format("link add link {} name {} type vlan id 7", lower, upper));
        up_without_ipv6(*ns, upper);
    }
}

// bond0 over em2 and em3 === two ports of a switch, whose uplink is the LAN's port.
void Lan::plug_in_bond(const Namespace& node, const std::string& node_name) const {
    const auto access = "access-" + node_name;
    const auto uplink = "uplink-" + node_name;
    ip(*ns_, fmt::format("link add {} type bridge mcast_snooping 0", access));
    up_without_ipv6(*ns_, access);
    connect_by_veth({*ns_, uplink}, {*ns_, "port-" + node_name}, 1500);
    ip(*ns_, fmt::format("link set {} master {}", uplink, access));
    ip(node, fmt::format("link add {} type bond mode active-backup miimon 50", device_));
    for (const std::string member : {nic, second_nic}) {
        const auto end = end_of(member, node_name);
        connect_by_veth({node, member}, {*ns_, end}, 1500);
        ip(*ns_, fmt::format("link set {} master {}", end, access));
        ip(node, fmt::format("link set {} down", member));
        ip(node, fmt::format("link set {} master {}", member, device_));
    }
    up_without_ipv6(node, device_);
}

void Lan::restart_network(const Namespace& node, unsigned number) const {
    ip(node, fmt::format("link set {} down", device_));
    ip(node, fmt::format("address flush dev {}", device_));
    ip(node, fmt::format("link set {} up", device_));
    ip(node, fmt::format("address add {}/24 dev {}", host_address(number), device_));
    if (!own_) {
        ip(node, fmt::format("route replace default via {}", gateway()));
    }
}

ArpQuestions::ArpQuestions(const Lan& lan, Ipv4Address target) : sender_(lan.neighbour(), "eth0") {
    const auto mac = mac_of({lan.neighbour(), "eth0"});
    Bytes arp = {0, 1, 8, 0, 6, 4, 0, 1};  // Ethernet, IPv4, request (RFC 826)
    const auto append = [&](const auto& bytes) { arp.insert(arp.end(), std::begin(bytes), std::end(bytes)); };
    const auto bytes_of = [](Ipv4Address address) {
        const auto value = address.host();
        return std::array<std::uint8_t, 4>{static_cast<std::uint8_t>(value >> 24U),
                                           static_cast<std::uint8_t>(value >> 16U),
                                           static_cast<std::uint8_t>(value >> 8U), static_cast<std::uint8_t>(value)};
    };
    append(mac.bytes());
    append(bytes_of(lan.neighbour_address()));
    append(std::array<std::uint8_t, 6>{});
    append(bytes_of(target));
    request_ = ethernet_frame({MacAddress({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), mac, ethertype_arp}, arp);
    asker_ = std::jthread([this](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            sender_.send(request_);
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
    });
}

MacCensus::MacCensus(const Lan& lan, const std::string& node_name, Ipv4Address address)
    : address_(address), capture_(lan.ns(), "port-" + node_name, [address](const Frame& frame) {
          return is_arp_of(frame, address) || is_ipv4_of(frame, address);
      }) {}

std::set<std::string> MacCensus::macs() {
    std::set<std::string> found;
    for (const auto& frame : capture_.frames()) {
        if (is_arp_of(frame, address_)) {
            found.insert(mac_at(frame, ethernet + 8));
        }
        found.insert(mac_at(frame, 6));
    }
    return found;
}

}  // namespace podlane::net
