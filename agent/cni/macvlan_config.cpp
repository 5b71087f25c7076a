// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/macvlan_config.h"

#include <algorithm>
#include <array>
#include <limits>

#include "agent/cni/endpoint.h"

namespace podlane::cni {
namespace {

using nlohmann::json;

// Absent, null and the empty text mean the default, as in the reference plugin.
Outcome<std::string> text_or_empty(const json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) {
        return std::string();
    }
    if (!found->is_string()) {
        return refuse(Code::invalid_config, "{}: {} is not a string", key, found->dump());
    }
    return found->get<std::string>();
}

Outcome<void> read_master(const json& config, MacvlanConfig& result) {
    const auto master = text_or_empty(config, "master");
    if (!master) {
        return std::unexpected(master.error());
    }
    if (!master->empty() && !is_valid_interface_name(*master)) {
        return refuse(Code::invalid_config, "master: \"{}\" is not an interface name", *master);
    }
    result.master = *master;
    return {};
}

Outcome<void> read_mode(const json& config, MacvlanConfig& result) {
    constexpr std::array<std::string_view, 5> modes{"", "bridge", "private", "vepa", "passthru"};
    const auto mode = text_or_empty(config, "mode");
    if (!mode) {
        return std::unexpected(mode.error());
    }
    if (std::ranges::find(modes, *mode) == modes.end()) {
        return refuse(Code::invalid_config, "mode: \"{}\" is none of bridge, private, vepa, passthru", *mode);
    }
    result.mode = mode->empty() ? "bridge" : *mode;
    return {};
}

Outcome<std::optional<MacAddress>> mac_in(const json& object) {
    const auto text = text_or_empty(object, "mac");
    if (!text) {
        return std::unexpected(text.error());
    }
    return text->empty() ? std::optional<MacAddress>() : parse_mac_of_user(*text, "mac");
}

Outcome<void> read_macs(const json& config, MacvlanConfig& result) {
    auto mac = mac_in(config);
    if (!mac) {
        return std::unexpected(mac.error());
    }
    result.mac = *mac;
    const auto runtime = config.find("runtimeConfig");
    if (runtime == config.end() || !runtime->is_object()) {
        return {};
    }
    mac = mac_in(*runtime);
    if (!mac) {
        return std::unexpected(mac.error());
    }
    result.runtime_mac = *mac;
    return {};
}

Outcome<void> read_broadcast_queue(const json& config, MacvlanConfig& result) {
    const auto found = config.find("bcqueuelen");
    if (found == config.end() || found->is_null() || *found == 0) {
        return {};
    }
    if (!found->is_number_unsigned() || *found > std::numeric_limits<std::uint32_t>::max()) {
        return refuse(Code::invalid_config, "bcqueuelen: {} is not a number of packets", found->dump());
    }
    result.broadcast_queue = found->get<std::uint32_t>();
    return {};
}

// A master inside the sandbox is none that a host's shim could share.
Outcome<void> refuse_master_in_container(const json& config, MacvlanConfig&) {
    const auto found = config.find("linkInContainer");
    if (found == config.end() || found->is_null() || *found == false) {
        return {};
    }
    return refuse(Code::unsupported_field, "unsupported field \"linkInContainer\": {}", found->dump());
}

}  // namespace

Outcome<std::optional<MacAddress>> parse_mac_of_user(const std::string& text, std::string_view origin) {
    const auto mac = MacAddress::parse(text);
    if (!mac || !mac->is_unicast()) {
        return refuse(Code::invalid_config, "{}: \"{}\" is not the MAC of one interface", origin, text);
    }
    return std::optional(*mac);
}

Outcome<void> read_macvlan(const json& config, MacvlanConfig& result) {
    Outcome<void> done;
    for (const auto read : {read_master, read_mode, read_macs, read_broadcast_queue, refuse_master_in_container}) {
        if (done) {
            done = read(config, result);
        }
    }
    return done;
}

}  // namespace podlane::cni
