// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/endpoint.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include <nlohmann/json.hpp>

#include "maps/base/name_hash.h"

namespace podlane {
namespace {

constexpr std::string_view alias_prefix = "podlane1";
constexpr std::size_t max_interface_name = 15;  // IFNAMSIZ less the terminating zero
constexpr unsigned min_mtu = 68;                // RFC 791: what every internet module must forward
constexpr unsigned max_mtu = 65535;

bool is_letter_or_digit(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool consists_of(std::string_view text, std::string_view punctuation) {
    return std::ranges::all_of(
        text, [&](char c) { return is_letter_or_digit(c) || punctuation.find(c) != std::string_view::npos; });
}

// With the second round of MurmurHash3's finalizer, so that every output bit depends on every input byte: an
// interface's name has all 64.
std::uint64_t attachment_hash(std::string_view purpose, std::string_view container_id, std::string_view if_name) {
    const std::uint64_t hash = name_hash({purpose, container_id, if_name}) * 0xc4ceb9fe1a85ec53U;
    return hash ^ (hash >> 33U);
}

Result<std::string> text_field(const nlohmann::json& json, const char* key) {
    const auto found = json.find(key);
    if (found == json.end() || found->is_null()) {
        return std::string();
    }
    if (!found->is_string()) {
        return fail("endpoint: {} is not a string", key);
    }
    return found->get<std::string>();
}

// One field of the record: where it is in JSON, and how it gets into the struct.
template <typename T>
Result<void> read_field(const nlohmann::json& json, const char* key, T& target) {
    const auto text = text_field(json, key);
    if (!text) {
        return std::unexpected(text.error());
    }
    if constexpr (std::is_same_v<T, std::string>) {
        target = *text;
    } else {
        const auto value = T::parse(*text);
        if (!value) {
            return fail("endpoint: {}: {}", key, value.error().message);
        }
        target = *value;
    }
    return {};
}

Result<void> read_mtu(const nlohmann::json& json, unsigned& target) {
    const auto found = json.find("mtu");
    if (found == json.end() || !found->is_number_integer()) {
        return fail("endpoint: mtu is not a number");
    }
    const auto value = found->get<std::int64_t>();
    if (value < min_mtu || value > max_mtu) {
        return fail("endpoint: mtu {} is not between {} and {}", value, min_mtu, max_mtu);
    }
    target = static_cast<unsigned>(value);
    return {};
}

// A record of an earlier version does not have it.
Result<void> read_mtu_fixed(const nlohmann::json& json, bool& target) {
    const auto found = json.find("mtuFixed");
    if (found != json.end() && !found->is_boolean()) {
        return fail("endpoint: mtuFixed is not true or false");
    }
    target = found != json.end() && found->get<bool>();
    return {};
}

Result<void> validate_veth(const Endpoint& endpoint) {
    if (!is_valid_interface_name(endpoint.host_interface)) {
        return fail("endpoint: hostInterface \"{}\" is not an interface name", endpoint.host_interface);
    }
    if (!endpoint.gateway.is_unicast() || endpoint.gateway == endpoint.ip) {
        return fail("endpoint: gateway {} is not the address of another host", endpoint.gateway);
    }
    if (!endpoint.host_mac.is_unicast()) {
        return fail("endpoint: hostMac {} is not a unicast address", endpoint.host_mac);
    }
    return {};
}

Result<void> validate_macvlan(const Endpoint& endpoint) {
    constexpr std::array<std::string_view, 4> modes{"bridge", "private", "vepa", "passthru"};
    if (!is_valid_interface_name(endpoint.master)) {
        return fail("endpoint: master \"{}\" is not an interface name", endpoint.master);
    }
    if (std::ranges::find(modes, endpoint.mode) == modes.end()) {
        return fail("endpoint: mode \"{}\" is none of {}", endpoint.mode, fmt::join(modes, ", "));
    }
    if (!endpoint.gateway.is_unspecified() && (!endpoint.gateway.is_unicast() || endpoint.gateway == endpoint.ip)) {
        return fail("endpoint: gateway {} is not the address of another host", endpoint.gateway);
    }
    return {};
}

Result<void> validate(const Endpoint& endpoint) {
    if (!is_valid_container_id(endpoint.container_id)) {
        return fail("endpoint: containerID \"{}\" is not a container ID", endpoint.container_id);
    }
    if (!is_valid_interface_name(endpoint.if_name)) {
        return fail("endpoint: ifName \"{}\" is not an interface name", endpoint.if_name);
    }
    if (!endpoint.ip.is_unicast()) {
        return fail("endpoint: ip {} is not a host's address", endpoint.ip);
    }
    if (!endpoint.mac.is_unicast()) {
        return fail("endpoint: mac {} is not a unicast address", endpoint.mac);
    }
    if (endpoint.link == "veth") {
        return validate_veth(endpoint);
    }
    if (endpoint.link == "macvlan") {
        return validate_macvlan(endpoint);
    }
    return fail("endpoint: link \"{}\" is not known to this version", endpoint.link);
}

std::vector<std::string_view> split(std::string_view text, std::size_t max_parts) {
    std::vector<std::string_view> parts;
    while (parts.size() + 1 < max_parts) {
        const auto space = text.find(' ');
        if (space == std::string_view::npos) {
            break;
        }
        parts.push_back(text.substr(0, space));
        text.remove_prefix(space + 1);
    }
    parts.push_back(text);
    return parts;
}

}  // namespace

std::string Endpoint::id() const {
    return fmt::format("{}-{}", container_id, if_name);
}

nlohmann::json Endpoint::to_json() const {
    nlohmann::json json = {{"containerID", container_id},
                           {"ifName", if_name},
                           {"netns", netns},
                           {"namespace", name_space},
                           {"name", name},
                           {"uid", uid},
                           {"network", network},
                           {"link", link},
                           {"ip", ip.to_string()},
                           {"gateway", gateway.to_string()},
                           {"mac", mac.to_string()},
                           {"mtu", mtu},
                           {"mtuFixed", mtu_fixed}};
    if (link == "macvlan") {
        json.update({{"master", master}, {"mode", mode}});
    } else {
        json.update({{"hostInterface", host_interface}, {"hostMac", host_mac.to_string()}});
    }
    return json;
}

Result<Endpoint> Endpoint::from_json(const nlohmann::json& json) {
    if (!json.is_object()) {
        return fail("endpoint: not a JSON object");
    }
    Endpoint endpoint;
    Result<void> done;
    const auto read = [&](const char* key, auto& target) {
        if (done) {
            done = read_field(json, key, target);
        }
    };
    read("containerID", endpoint.container_id);
    read("ifName", endpoint.if_name);
    read("netns", endpoint.netns);
    read("namespace", endpoint.name_space);
    read("name", endpoint.name);
    read("uid", endpoint.uid);
    read("network", endpoint.network);
    read("link", endpoint.link);
    read("ip", endpoint.ip);
    read("gateway", endpoint.gateway);
    read("mac", endpoint.mac);
    if (endpoint.link == "macvlan") {
        read("master", endpoint.master);
        read("mode", endpoint.mode);
    } else {
        read("hostInterface", endpoint.host_interface);
        read("hostMac", endpoint.host_mac);
    }
    if (done) {
        done = read_mtu(json, endpoint.mtu);
    }
    if (done) {
        done = read_mtu_fixed(json, endpoint.mtu_fixed);
    }
    if (done) {
        done = validate(endpoint);
    }
    if (!done) {
        return std::unexpected(done.error());
    }
    return endpoint;
}

Result<Endpoint> Endpoint::parse(std::string_view json_text) {
    const auto json = nlohmann::json::parse(json_text, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) {
        return fail("endpoint: not JSON");
    }
    return from_json(json);
}

bool is_valid_container_id(std::string_view text) {
    return !text.empty() && text.size() <= max_container_id && is_letter_or_digit(text.front()) &&
           consists_of(text, "_.-");
}

bool is_valid_interface_name(std::string_view text) {
    return !text.empty() && text.size() <= max_interface_name && text != "." && text != ".." &&
           consists_of(text, "_.@-");
}

std::string encode_alias(const Endpoint& endpoint) {
    std::string alias = fmt::format("{} {} {} {} {} {} {}/{}", alias_prefix, endpoint.container_id, endpoint.if_name,
                                    endpoint.ip, endpoint.mac, endpoint.gateway, endpoint.name_space, endpoint.name);
    alias.resize(std::min(alias.size(), max_alias));
    return alias;
}

Result<Endpoint> decode_alias(std::string_view alias) {
    const auto parts = split(alias, 7);
    if (parts.front() != alias_prefix || parts.size() != 7) {
        return fail("alias \"{}\" is not one of podlane's", alias);
    }
    const auto ip = Ipv4Address::parse(parts[3]);
    const auto mac = MacAddress::parse(parts[4]);
    const auto gateway = Ipv4Address::parse(parts[5]);
    if (!is_valid_container_id(parts[1]) || !is_valid_interface_name(parts[2]) || !ip || !mac || !gateway) {
        return fail("alias \"{}\" is damaged", alias);
    }
    Endpoint endpoint;
    endpoint.container_id = parts[1];
    endpoint.if_name = parts[2];
    endpoint.ip = *ip;
    endpoint.mac = *mac;
    endpoint.gateway = *gateway;
    const auto slash = parts[6].find('/');
    endpoint.name_space = parts[6].substr(0, slash);
    endpoint.name = slash == std::string_view::npos ? std::string_view() : parts[6].substr(slash + 1);
    return endpoint;
}

std::string host_interface_name(std::string_view container_id, std::string_view if_name) {
    constexpr std::string_view digits = "0123456789abcdefghijklmnopqrstuv";
    constexpr std::size_t digits_of_64_bits = 13;
    std::uint64_t hash = attachment_hash("name", container_id, if_name);
    std::string name = "pl";
    for (std::size_t i = 0; i < digits_of_64_bits; ++i) {
        name += digits[hash & 31U];
        hash >>= 5U;
    }
    return name;
}

MacAddress derived_pod_mac(std::string_view container_id, std::string_view if_name) {
    return local_mac(attachment_hash("pod", container_id, if_name));
}

MacAddress derived_host_mac(std::string_view container_id, std::string_view if_name) {
    return local_mac(attachment_hash("host", container_id, if_name));
}

}  // namespace podlane
