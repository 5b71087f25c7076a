// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

#include <fmt/format.h>
#include <nlohmann/json_fwd.hpp>

#include "maps/base/result.h"
#include "maps/spec.h"

// Keys and values of maps/schema for people: addresses as addresses, ports in host byte order, enums by their
// names. JSON is always an object with camelCase keys; its fields stand in the order in which text shows them.
namespace podlane {

using Json = nlohmann::ordered_json;

// Values.
[[nodiscard]] Json json_of(const node_route& route);
[[nodiscard]] Json json_of(const pod_endpoint& pod);
[[nodiscard]] Json json_of(const network_entry& network);
[[nodiscard]] Json json_of(const pod_cidr_lengths& lengths);
[[nodiscard]] Json json_of(const flow_entry& flow);
[[nodiscard]] Json json_of(const packet_counter& counter);
[[nodiscard]] Json json_of(const nat_entry& entry);
[[nodiscard]] Json json_of(const nat_claim& claim);
[[nodiscard]] Json json_of(const nat_ports& ports);
[[nodiscard]] Json json_of(const nat_port_page& page);
[[nodiscard]] Json json_of(const nat_pod_flows& flows);
[[nodiscard]] Json json_of(const nat_fragment& fragment);
[[nodiscard]] Json json_of(const nat_device& device);
[[nodiscard]] Json json_of(const macvlan_pod& pod);

// One field as a table shows it: strings bare, lists with commas, "-" when empty.
[[nodiscard]] std::string cell_of(const Json& field);

// The value of some map.
#define PODLANE_IS_VALUE_OF(name, type, key, value, capacity, flags, purpose) || std::same_as<T, spec::name::Value>
template <typename T>
concept MapValue = std::is_class_v<T> && (false PODLANE_MAPS(PODLANE_IS_VALUE_OF));
#undef PODLANE_IS_VALUE_OF

// A value on one line: "vtep=192.168.0.8 flags=self".
template <MapValue T>
[[nodiscard]] std::string text_of(const T& value);

// Keys. A key's type does not say what it means (a __u32 is an address here and an index there), so the map does.
// Each KeyFormat has
//   text(key): short, for errors and tables; json(key): an object;
//   parse(text): what text() or json() printed. Errors say what was expected.
struct AddressKeyFormat {
    [[nodiscard]] static std::string text(__be32 key);
    [[nodiscard]] static Json json(__be32 key);
    [[nodiscard]] static Result<__be32> parse(std::string_view text);  // "10.244.1.5"
};
struct PodCidrKeyFormat {
    [[nodiscard]] static std::string text(const pod_cidr_key& key);
    [[nodiscard]] static Json json(const pod_cidr_key& key);
    [[nodiscard]] static Result<pod_cidr_key> parse(std::string_view text);  // "10.244.1.0/24"
};
struct NetworkKeyFormat {
    [[nodiscard]] static std::string text(const network_key& key);
    [[nodiscard]] static Json json(const network_key& key);
    [[nodiscard]] static Result<network_key> parse(std::string_view text);  // "10.244.0.0/16"
};
struct FlowKeyFormat {
    [[nodiscard]] static std::string text(const flow_key& key);
    [[nodiscard]] static Json json(const flow_key& key);
    // "tcp:10.244.1.5:40000:10.244.2.7:80": protocol, pod and its port, remote and its port.
    [[nodiscard]] static Result<flow_key> parse(std::string_view text);
};
struct NatReplyKeyFormat {
    [[nodiscard]] static std::string text(const nat_reply_key& key);
    [[nodiscard]] static Json json(const nat_reply_key& key);
    // "tcp:192.168.100.1:20000:203.0.113.10:80": protocol, our address and port, remote and its port.
    [[nodiscard]] static Result<nat_reply_key> parse(std::string_view text);
};
struct NatDestinationKeyFormat {
    [[nodiscard]] static std::string text(const nat_destination& key);
    [[nodiscard]] static Json json(const nat_destination& key);
    // "tcp:192.168.100.1:203.0.113.10:80": protocol, our address, remote and its port.
    [[nodiscard]] static Result<nat_destination> parse(std::string_view text);
};
struct NatFragmentKeyFormat {
    [[nodiscard]] static std::string text(const nat_fragment_key& key);
    [[nodiscard]] static Json json(const nat_fragment_key& key);
    // "udp:10.244.1.5:203.0.113.10:4711": protocol, source, destination, identification.
    [[nodiscard]] static Result<nat_fragment_key> parse(std::string_view text);
};
struct DeviceKeyFormat {
    [[nodiscard]] static std::string text(__u32 key);
    [[nodiscard]] static Json json(__u32 key);
    [[nodiscard]] static Result<__u32> parse(std::string_view text);  // "2", an ifindex
};
struct DropKeyFormat {
    [[nodiscard]] static std::string text(const reason_key& key);
    [[nodiscard]] static Json json(const reason_key& key);
    [[nodiscard]] static Result<reason_key> parse(std::string_view text);  // "wrong-vni:from-underlay"
};
struct HandoverKeyFormat {
    [[nodiscard]] static std::string text(const reason_key& key);
    [[nodiscard]] static Json json(const reason_key& key);
    [[nodiscard]] static Result<reason_key> parse(std::string_view text);  // "node-address:from-pod"
};
struct ForwardPathKeyFormat {
    [[nodiscard]] static std::string text(__u32 key);
    [[nodiscard]] static Json json(__u32 key);
    [[nodiscard]] static Result<__u32> parse(std::string_view text);  // "pod-to-overlay"
};
struct IndexKeyFormat {
    [[nodiscard]] static std::string text(__u32 key);
    [[nodiscard]] static Json json(__u32 key);
    [[nodiscard]] static Result<__u32> parse(std::string_view text);  // "0"
};

// Left undefined: a map without a format does not compile (maps/catalog.cpp names them all).
template <typename Spec>
struct KeyFormat;
template <>
struct KeyFormat<spec::nodes_by_pod_cidr> : PodCidrKeyFormat {};
template <>
struct KeyFormat<spec::nodes_by_ipv4> : AddressKeyFormat {};
template <>
struct KeyFormat<spec::pods_by_ipv4> : AddressKeyFormat {};
template <>
struct KeyFormat<spec::networks_by_prefix> : NetworkKeyFormat {};
template <>
struct KeyFormat<spec::pod_cidr_lengths> : IndexKeyFormat {};
template <>
struct KeyFormat<spec::flow_owners> : FlowKeyFormat {};
template <>
struct KeyFormat<spec::drop_counters> : DropKeyFormat {};
template <>
struct KeyFormat<spec::handover_counters> : HandoverKeyFormat {};
template <>
struct KeyFormat<spec::path_counters> : ForwardPathKeyFormat {};
template <>
struct KeyFormat<spec::nat_by_flow> : FlowKeyFormat {};
template <>
struct KeyFormat<spec::nat_by_reply> : NatReplyKeyFormat {};
template <>
struct KeyFormat<spec::nat_ports_by_destination> : NatDestinationKeyFormat {};
template <>
struct KeyFormat<spec::nat_given_ports> : IndexKeyFormat {};
template <>
struct KeyFormat<spec::nat_flows_by_pod> : AddressKeyFormat {};
template <>
struct KeyFormat<spec::nat_fragments> : NatFragmentKeyFormat {};
template <>
struct KeyFormat<spec::nat_address_by_device> : DeviceKeyFormat {};
template <>
struct KeyFormat<spec::macvlan_pods_by_ipv4> : AddressKeyFormat {};

}  // namespace podlane

// fmt prints a key whose type says what it is, and every value.
template <podlane::MapValue T>
struct fmt::formatter<T> : fmt::formatter<std::string_view> {
    auto format(const T& value, fmt::format_context& context) const {
        return fmt::formatter<std::string_view>::format(podlane::text_of(value), context);
    }
};
template <>
struct fmt::formatter<pod_cidr_key> : fmt::formatter<std::string_view> {
    auto format(const pod_cidr_key& key, fmt::format_context& context) const {
        return fmt::formatter<std::string_view>::format(podlane::PodCidrKeyFormat::text(key), context);
    }
};
template <>
struct fmt::formatter<network_key> : fmt::formatter<std::string_view> {
    auto format(const network_key& key, fmt::format_context& context) const {
        return fmt::formatter<std::string_view>::format(podlane::NetworkKeyFormat::text(key), context);
    }
};
template <>
struct fmt::formatter<flow_key> : fmt::formatter<std::string_view> {
    auto format(const flow_key& key, fmt::format_context& context) const {
        return fmt::formatter<std::string_view>::format(podlane::FlowKeyFormat::text(key), context);
    }
};
