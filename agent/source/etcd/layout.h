// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/address.h"
#include "maps/base/result.h"

// What flannel keeps in etcd (flannel, pkg/subnet/etcd, pkg/lease, pkg/ip):
//
//   <prefix>/config                  net-conf.json
//   <prefix>/subnets/10.5.52.0-24    {"PublicIP": ..., "BackendType": ..., "BackendData": ...}
namespace podlane::etcd {

// net-conf.json, checked and with its defaults filled in.
struct Network {
    Ipv4Prefix network;
    unsigned subnet_length = 24;
    Ipv4Address first;  // of the first subnet that a node may have
    Ipv4Address last;   // of the last one
    std::optional<std::uint32_t> vni = std::nullopt;
    std::optional<std::uint16_t> port = std::nullopt;

    // A subnet that a node could have been given.
    [[nodiscard]] bool allows(const Ipv4Prefix& subnet) const;
    bool operator==(const Network&) const = default;
};
// Keys in any case, as Go reads them. An error names the key.
[[nodiscard]] Result<Network> parse_network(std::string_view text);

// One node's subnet.
struct Subnet {
    Ipv4Prefix subnet;
    Ipv4Address public_ip;
    std::string backend_type;  // empty: reserved for a node that is not up yet
    std::optional<MacAddress> vtep_mac = std::nullopt;
    std::optional<std::uint32_t> vni = std::nullopt;
    std::int64_t lease = 0;     // 0: a reservation, which does not end
    std::int64_t revision = 0;  // of its last change

    bool operator==(const Subnet&) const = default;
};

// The last part of a key: "10.5.52.0-24", with "&fc00::-64" behind it where the cluster has IPv6 too.
[[nodiscard]] std::optional<Ipv4Prefix> parse_subnet_key(std::string_view name);
[[nodiscard]] std::string subnet_key(const Ipv4Prefix& subnet);

// Why a value cannot be used: its member, and what is wrong with it.
struct BadValue {
    std::string member;
    std::string message;
};
// Fills in what a value says. BackendData that cannot be read, or null, is none.
[[nodiscard]] std::optional<BadValue> read_subnet_value(std::string_view text, Subnet& subnet);

// What a node says of itself.
struct Attributes {
    Ipv4Address public_ip;
    std::uint32_t vni = 1;
    MacAddress vtep_mac;

    [[nodiscard]] bool are_those_of(const Subnet& subnet) const;
    bool operator==(const Attributes&) const = default;
};
// As flannel writes it, byte for byte.
[[nodiscard]] std::string subnet_value(const Attributes& attributes);
// {"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}, in its annotation as well.
struct BackendData {
    std::optional<std::uint32_t> vni = std::nullopt;
    std::optional<MacAddress> vtep_mac = std::nullopt;
};
[[nodiscard]] BackendData read_backend_data(std::string_view text);

// [0, 1)
using Random = std::function<double()>;

// A random one of the subnets that nobody has. Nothing: all are taken.
[[nodiscard]] std::optional<Ipv4Prefix> choose_subnet(const Network& network, std::vector<Ipv4Prefix> taken,
                                                      const Random& random);

}  // namespace podlane::etcd
