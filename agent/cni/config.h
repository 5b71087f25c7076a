// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/cni/environment.h"
#include "agent/cni/failure.h"
#include "agent/cni/version.h"
#include "maps/base/address.h"

namespace podlane::cni {

// What the CNI specification calls an attachment; netns is empty where it is not known.
struct AttachmentKey {
    std::string container_id;
    std::string if_name;
    std::string netns;
};

enum class LinkKind : std::uint8_t { veth, macvlan };

// What only `link: "macvlan"` has, each with the reference macvlan plugin's meaning.
struct MacvlanConfig {
    std::string master;           // empty: the default route's device
    std::string mode = "bridge";  // bridge, private, vepa or passthru
    // Who asks for a certain MAC: the configuration, and above it (and above CNI_ARGS) the runtime.
    std::optional<MacAddress> mac;
    std::optional<MacAddress> runtime_mac;
    std::optional<std::uint32_t> broadcast_queue;  // bcqueuelen, packets; empty: the kernel's default
};

// The network configuration from standard input, checked.
struct NetworkConfig {
    Version version;
    std::string name;
    std::string run_dir = "/run/podlane";
    LinkKind link = LinkKind::veth;
    MacvlanConfig macvlan;
    unsigned mtu = 0;                      // bytes of IP; 0: what the agent says, of macvlan the master's
    nlohmann::json dns;                    // null where the configuration has none
    std::optional<nlohmann::json> ipam;    // empty: podlane writes host-local's section itself
    std::string ipam_type = "host-local";  // empty: no address at all, which only macvlan knows
    std::optional<nlohmann::json> prev_result;
    std::vector<AttachmentKey> valid_attachments;  // GC only
    nlohmann::json raw;                            // everything, for the IPAM plugin
};

// For error objects and VERSION: the version in the text if it is one podlane speaks.
[[nodiscard]] std::optional<Version> peek_version(std::string_view json_text);

// Errors: 6 not JSON; 1 a version that podlane does not speak or that lacks the command; 2 a key that podlane does not
// know (ADD only); 7 a bad value, with the key's name. DEL and GC ignore keys that only say how to create something.
[[nodiscard]] Outcome<NetworkConfig> parse_config(std::string_view json_text, Command command);

}  // namespace podlane::cni
