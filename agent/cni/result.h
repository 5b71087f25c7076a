// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/cni/config.h"
#include "agent/cni/endpoint.h"
#include "agent/cni/failure.h"
#include "agent/cni/version.h"
#include "maps/base/address.h"

// Results as the CNI specification writes them. They stay JSON where they are only passed on, so that nothing a
// neighbour in the chain wrote gets lost; versions differ in a few keys:
//   before 1.0.0   ips[].version is there ("4" or "6")
//   before 1.1.0   no interfaces[].mtu, socketPath, pciID; no routes[].mtu, advmss, priority, table, scope
namespace podlane::cni {

// A route inside the container.
struct Route {
    Ipv4Prefix destination;
    std::optional<Ipv4Address> gateway;  // empty: the attachment's own gateway
    std::optional<unsigned> mtu;
    std::optional<unsigned> advmss;
    std::optional<unsigned> priority;
    std::optional<unsigned> table;
    std::optional<unsigned> scope;

    bool operator==(const Route&) const = default;
};

// What an IPAM plugin's ADD returned, reduced to what podlane can set up: one IPv4 address.
struct IpamResult {
    Ipv4Address ip;
    std::optional<Ipv4Address> gateway;
    std::vector<Route> routes;
    nlohmann::json dns;  // null where there is none
    unsigned prefix_length = 32;
};

// What ADD creates and CHECK expects. A macvlan without an IPAM plugin has no address: endpoint.ip is unspecified.
struct Attachment {
    Endpoint endpoint;
    std::vector<Route> routes;
    nlohmann::json dns;                            // null where there is none
    unsigned prefix_length = 32;                   // of endpoint.ip
    std::optional<std::uint32_t> broadcast_queue;  // of a macvlan, packets; ADD only
};

// Errors (code 7) name what podlane cannot do: no IPv4 address, more than one, an IPv6 address or route.
[[nodiscard]] Outcome<IpamResult> parse_ipam_result(const nlohmann::json& json);

// ADD's result: the attachment appended to what an earlier plugin of the chain returned, if any.
[[nodiscard]] nlohmann::json make_result(const Attachment& attachment, const nlohmann::json* prev_result,
                                         Version version);
// What an earlier plugin returned, with `added` after its routes.
[[nodiscard]] nlohmann::json with_routes(nlohmann::json prev_result, const std::vector<Route>& added, Version version);

// Rewrites a result in the form of `version`.
[[nodiscard]] nlohmann::json convert_result(nlohmann::json result, Version version);

[[nodiscard]] bool has_interface(const nlohmann::json& result, std::string_view if_name, std::string_view sandbox);

// Whether the result has the host's side of a veth pair that podlane made for the attachment.
[[nodiscard]] bool has_host_side(const nlohmann::json& result, const AttachmentKey& who);
// What a result says of the attachment and, for veth, of its host side. Fields that a result does not carry (mtu before
// 1.1.0, master and mode) stay empty. An error (code 7) names what is missing; a macvlan may lack an address.
[[nodiscard]] Outcome<Attachment> attachment_from_result(const nlohmann::json& result, const AttachmentKey& who,
                                                         LinkKind link);

// The error object.
[[nodiscard]] nlohmann::json make_error(const Failure& failure, Version version);

}  // namespace podlane::cni
