// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/config.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "agent/cni/endpoint.h"
#include "agent/cni/macvlan_config.h"

namespace podlane::cni {
namespace {

using nlohmann::json;

// Keys of podlane, of the specification, and those of the reference plugins that podlane answers for in its own way
// (the agent translates and sets routes whatever ipMasq says; master and mode belong to macvlan).
constexpr std::array<std::string_view, 17> known_keys{
    "args", "capabilities", "cniVersion", "cniVersions", "disableCheck", "disableGC",  "dns",    "ipMasq", "ipam",
    "link", "master",       "mode",       "mtu",         "name",         "prevResult", "runDir", "type"};
constexpr std::array<std::string_view, 3> macvlan_keys{"bcqueuelen", "linkInContainer", "mac"};
constexpr std::array<std::string_view, 1> reserved_keys{"runtimeConfig"};
constexpr std::string_view reserved_prefix = "cni.dev/";

bool is_known_key(std::string_view key, LinkKind link) {
    return std::ranges::find(known_keys, key) != known_keys.end() ||
           std::ranges::find(reserved_keys, key) != reserved_keys.end() || key.starts_with(reserved_prefix) ||
           (link == LinkKind::macvlan && std::ranges::find(macvlan_keys, key) != macvlan_keys.end());
}

Outcome<Version> read_version(const json& config) {
    // Before versions were written down there was 0.1.0 (specification 0.2.0, "Network Configuration").
    const auto found = config.find("cniVersion");
    if (found == config.end()) {
        return refuse(Code::incompatible_version, "cniVersion is not set; podlane speaks 0.3.1, 0.4.0, 1.0.0, 1.1.0");
    }
    if (!found->is_string()) {
        return refuse(Code::decoding_failure, "cniVersion is not a string");
    }
    const auto version = Version::parse(found->get_ref<const std::string&>());
    if (!version || !is_supported(*version)) {
        return refuse(Code::incompatible_version,
                      "cniVersion \"{}\" is not supported; podlane speaks 0.3.1, 0.4.0, 1.0.0, 1.1.0",
                      found->get_ref<const std::string&>());
    }
    return *version;
}

Outcome<void> check_command(Version version, Command command) {
    const bool too_old = (command == Command::check && version < version_0_4_0) ||
                         ((command == Command::gc || command == Command::status) && version < version_1_1_0);
    if (too_old) {
        const std::string_view name = command == Command::check ? "CHECK" : command == Command::gc ? "GC" : "STATUS";
        return refuse(Code::incompatible_version, "cniVersion {} has no {}", version.text(), name);
    }
    return {};
}

Outcome<void> check_keys(const json& config, LinkKind link) {
    for (const auto& [key, value] : config.items()) {
        if (!is_known_key(key, link)) {
            return refuse(Code::unsupported_field, "unsupported field \"{}\": {}", key, value.dump());
        }
    }
    return {};
}

// Absent and null mean the default.
Outcome<void> read_text(const json& config, const char* key, std::string& target) {
    const auto found = config.find(key);
    if (found == config.end() || found->is_null()) {
        return {};
    }
    if (!found->is_string()) {
        return refuse(Code::invalid_config, "{}: {} is not a string", key, found->dump());
    }
    target = found->get<std::string>();
    return {};
}

Outcome<void> read_name(const json& config, NetworkConfig& result) {
    if (auto read = read_text(config, "name", result.name); !read) {
        return read;
    }
    if (!is_valid_container_id(result.name)) {  // the specification has one rule for both
        return refuse(Code::invalid_config, "name: \"{}\" is not a network name", result.name);
    }
    return {};
}

Outcome<void> read_run_dir(const json& config, NetworkConfig& result) {
    if (auto read = read_text(config, "runDir", result.run_dir); !read) {
        return read;
    }
    if (!result.run_dir.starts_with('/')) {
        return refuse(Code::invalid_config, "runDir: \"{}\" is not an absolute path", result.run_dir);
    }
    return {};
}

Outcome<void> check_link(const json& config, NetworkConfig& result) {
    std::string link = "veth";
    if (auto read = read_text(config, "link", link); !read) {
        return read;
    }
    if (link != "veth" && link != "macvlan") {
        return refuse(Code::invalid_config, "link: \"{}\" is neither veth nor macvlan", link);
    }
    return result.link == LinkKind::macvlan ? read_macvlan(config, result.macvlan) : Outcome<void>();
}

Outcome<void> read_mtu(const json& config, NetworkConfig& result) {
    const auto found = config.find("mtu");
    if (found == config.end() || found->is_null()) {
        return {};
    }
    constexpr std::int64_t smallest = 68;  // RFC 791
    constexpr std::int64_t largest = 65535;
    const auto value = found->is_number_integer() ? found->get<std::int64_t>() : -1;
    if (value != 0 && (value < smallest || value > largest)) {
        return refuse(Code::invalid_config, "mtu: {} is not 0 (the default) or a number from {} to {}", found->dump(),
                      smallest, largest);
    }
    result.mtu = static_cast<unsigned>(value);
    return {};
}

Outcome<void> read_dns(const json& config, NetworkConfig& result) {
    const auto found = config.find("dns");
    if (found == config.end() || found->is_null()) {
        return {};
    }
    if (!found->is_object()) {
        return refuse(Code::invalid_config, "dns: {} is not an object", found->dump());
    }
    if (!found->empty()) {
        result.dns = *found;
    }
    return {};
}

// A macvlan without an IPAM plugin has no address of ours, as with the reference plugin.
Outcome<void> read_ipam(const json& config, NetworkConfig& result) {
    const bool optional = result.link == LinkKind::macvlan;
    const auto found = config.find("ipam");
    if (optional) {
        result.ipam_type.clear();
    }
    if (found == config.end() || found->is_null()) {
        return {};
    }
    if (!found->is_object()) {
        return refuse(Code::invalid_config, "ipam: {} is not an object", found->dump());
    }
    const auto type = found->find("type");
    const bool named = type != found->end() && !(type->is_string() && type->get_ref<const std::string&>().empty());
    if (optional && !named) {
        return {};
    }
    if (type == found->end() || !type->is_string() || type->get_ref<const std::string&>().empty()) {
        return refuse(Code::invalid_config, "ipam.type is not set");
    }
    result.ipam_type = type->get<std::string>();
    if (result.ipam_type.find('/') != std::string::npos || result.ipam_type.starts_with('.')) {
        return refuse(Code::invalid_config, "ipam.type: \"{}\" is not the name of a program", result.ipam_type);
    }
    result.ipam = *found;
    return {};
}

Outcome<void> read_prev_result(const json& config, NetworkConfig& result) {
    const auto found = config.find("prevResult");
    if (found == config.end() || found->is_null()) {
        return {};
    }
    if (!found->is_object()) {
        return refuse(Code::invalid_config, "prevResult: {} is not an object", found->dump());
    }
    for (const char* const list : {"interfaces", "ips", "routes"}) {
        const auto entries = found->find(list);
        const bool well_formed =
            entries == found->end() || entries->is_null() ||
            (entries->is_array() && std::ranges::all_of(*entries, [](const json& entry) { return entry.is_object(); }));
        if (!well_formed) {
            return refuse(Code::invalid_config, "prevResult.{} is not a list of objects", list);
        }
    }
    result.prev_result = *found;
    return {};
}

std::string text_of(const json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Specification 1.1.0 was released with "cni.dev/attachments" and corrected to "cni.dev/valid-attachments" (cni#1101);
// libcni sends both. Neither is an error: an empty list would mean that everything may go. A null is libcni's empty
// list.
Outcome<void> read_valid_attachments(const json& config, NetworkConfig& result) {
    auto found = config.find("cni.dev/valid-attachments");
    if (found == config.end()) {
        found = config.find("cni.dev/attachments");
    }
    if (found == config.end()) {
        return refuse(Code::invalid_config, "cni.dev/valid-attachments is not set");
    }
    if (!found->is_array() && !found->is_null()) {
        return refuse(Code::invalid_config, "cni.dev/valid-attachments: {} is not a list", found->dump());
    }
    for (const auto& entry : *found) {
        AttachmentKey key{text_of(entry, "containerID"), text_of(entry, "ifname"), {}};
        if (key.container_id.empty() || key.if_name.empty()) {
            return refuse(Code::invalid_config, "cni.dev/valid-attachments: {} lacks containerID or ifname",
                          entry.dump());
        }
        result.valid_attachments.push_back(std::move(key));
    }
    return {};
}

}  // namespace

std::optional<Version> peek_version(std::string_view json_text) {
    const auto config = json::parse(json_text, nullptr, /*allow_exceptions=*/false);
    const auto version = Version::parse(config.is_object() ? text_of(config, "cniVersion") : std::string());
    return version && is_supported(*version) ? version : std::nullopt;
}

Outcome<NetworkConfig> parse_config(std::string_view json_text, Command command) {
    NetworkConfig result;
    result.raw = json::parse(json_text, nullptr, /*allow_exceptions=*/false);
    if (!result.raw.is_object()) {
        return refuse(Code::decoding_failure, "the network configuration on standard input is not a JSON object");
    }
    const auto version = read_version(result.raw);
    if (!version) {
        return std::unexpected(version.error());
    }
    result.version = *version;
    result.link = text_of(result.raw, "link") == "macvlan" ? LinkKind::macvlan : LinkKind::veth;
    auto done = check_command(*version, command);
    if (done && command == Command::add) {
        done = check_keys(result.raw, result.link);
    }
    const auto apply = [&](auto&& readers) {
        for (const auto read : readers) {
            if (done) {
                done = read(result.raw, result);
            }
        }
    };
    apply(std::array{read_name, read_run_dir, read_ipam, read_prev_result});
    // What only says how to create something must not keep DEL from removing it.
    if (command != Command::del && command != Command::gc) {
        apply(std::array{check_link, read_mtu, read_dns});
    }
    if (done && command == Command::gc) {
        done = read_valid_attachments(result.raw, result);
    }
    if (!done) {
        return std::unexpected(done.error());
    }
    return result;
}

}  // namespace podlane::cni
