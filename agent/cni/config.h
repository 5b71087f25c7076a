// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/cni/environment.h"
#include "agent/cni/failure.h"
#include "agent/cni/version.h"

namespace podlane::cni {

// What the CNI specification calls an attachment; netns is empty where it is not known.
struct AttachmentKey {
    std::string container_id;
    std::string if_name;
    std::string netns;
};

// The network configuration from standard input, checked.
struct NetworkConfig {
    Version version;
    std::string name;
    std::string run_dir = "/run/podlane";
    unsigned mtu = 0;                    // bytes of IP; 0: what the agent says
    nlohmann::json dns;                  // null where the configuration has none
    std::optional<nlohmann::json> ipam;  // empty: podlane writes host-local's section itself
    std::string ipam_type = "host-local";
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
