// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane {

// One attachment of a container to the pod network. The CNI plugin writes it, the agent keeps it as
// <runDir>/endpoints/<id>.json, and the host side's ifalias carries enough of it to rebuild a lost file.
struct Endpoint {
    std::string container_id;
    std::string if_name;     // inside the sandbox
    std::string netns;       // path of the sandbox as the runtime named it; empty when rebuilt from the kernel
    std::string name_space;  // of the Pod, with name and uid; empty when the runtime did not say
    std::string name;
    std::string uid;
    std::string network;        // name of the CNI network; empty when rebuilt from the kernel
    std::string link = "veth";  // or "macvlan"
    std::string master;         // macvlan: the device of the host that the pod's hangs on; empty for veth
    std::string mode;           // macvlan: bridge, private, vepa or passthru; empty for veth
    Ipv4Address ip;
    Ipv4Address gateway;  // macvlan: the LAN's, unspecified where there is none
    MacAddress mac;
    std::string host_interface;  // empty for macvlan, as host_mac is: the host has no side of it
    MacAddress host_mac;
    unsigned mtu = 0;        // of both sides when they were made, bytes of IP
    bool mtu_fixed = false;  // the network's configuration named it; otherwise it follows the agent's

    // "<containerID>-<ifName>": the file name without ".json", and the last part of the agent's URL.
    [[nodiscard]] std::string id() const;
    [[nodiscard]] nlohmann::json to_json() const;
    // Checks every field, so that what comes out is safe in a path, in an alias and in a map. An error names the
    // field. Unknown fields are ignored: a newer plugin may write more.
    [[nodiscard]] static Result<Endpoint> from_json(const nlohmann::json& json);
    [[nodiscard]] static Result<Endpoint> parse(std::string_view json_text);

    bool operator==(const Endpoint&) const = default;
};

// The CNI rule for container IDs (a letter or digit, then those and "_.-"), at most max_container_id bytes long.
[[nodiscard]] bool is_valid_container_id(std::string_view text);
// Narrower than the kernel's rule: letters, digits and "_.@-", so that an ID needs no escaping in a path or URL.
[[nodiscard]] bool is_valid_interface_name(std::string_view text);

inline constexpr std::size_t max_container_id = 128;
inline constexpr std::size_t max_alias = 255;  // IFALIASZ less the terminating zero

// The host side's ifalias: "podlane1 <containerID> <ifName> <ip> <mac> <gateway> <namespace>/<name>", the last part cut
// where the kernel's limit demands it.
[[nodiscard]] std::string encode_alias(const Endpoint& endpoint);
// What the alias tells. netns, uid, network, host_interface, host_mac and mtu are not in it and stay empty.
[[nodiscard]] Result<Endpoint> decode_alias(std::string_view alias);

// Names and addresses follow from the attachment alone, so that a plugin finds its own leftovers and DEL needs no
// memory. Stable across versions: running pods depend on it.
[[nodiscard]] std::string host_interface_name(std::string_view container_id, std::string_view if_name);
[[nodiscard]] MacAddress derived_pod_mac(std::string_view container_id, std::string_view if_name);
[[nodiscard]] MacAddress derived_host_mac(std::string_view container_id, std::string_view if_name);

}  // namespace podlane
