// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/result.h"

#include <charconv>
#include <cstdint>
#include <limits>

namespace podlane::cni {
namespace {

using nlohmann::json;

std::string text_of(const json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The list under `key`; an empty one where there is none.
const json& list_of(const json& object, const char* key) {
    static const json none = json::array();
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_array() ? *found : none;
}

bool is_ipv6(std::string_view text) {
    return text.find(':') != std::string_view::npos;
}

// "10.244.1.5/24": CNI writes addresses with the length of their network, and routes without clearing host bits.
Outcome<std::pair<Ipv4Address, unsigned>> parse_cidr(std::string_view text, std::string_view what) {
    if (is_ipv6(text)) {
        return refuse(Code::invalid_config, "{} {}: IPv6 is not supported by this version of podlane", what, text);
    }
    const auto slash = text.find('/');
    const auto address = Ipv4Address::parse(text.substr(0, slash));
    const auto digits = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
    unsigned length = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (!address || error != std::errc{} || end != digits.data() + digits.size() || length > 32) {
        return refuse(Code::invalid_config, "{} \"{}\" is not ADDRESS/LENGTH", what, text);
    }
    return std::pair(*address, length);
}

Outcome<std::optional<Ipv4Address>> parse_gateway(const json& object, const char* key) {
    const auto text = text_of(object, key);
    if (text.empty()) {
        return std::optional<Ipv4Address>();
    }
    if (is_ipv6(text)) {
        return refuse(Code::invalid_config, "gateway {}: IPv6 is not supported by this version of podlane", text);
    }
    const auto address = Ipv4Address::parse(text);
    if (!address) {
        return refuse(Code::invalid_config, "gateway: {}", address.error().message);
    }
    return std::optional(*address);
}

Outcome<std::optional<unsigned>> parse_number(const json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) {
        return std::optional<unsigned>();
    }
    const auto value = found->is_number_integer() ? found->get<std::int64_t>() : -1;
    if (value < 0 || value > std::numeric_limits<std::uint32_t>::max()) {
        return refuse(Code::invalid_config, "route {}: {} is not a number", key, found->dump());
    }
    return std::optional(static_cast<unsigned>(value));
}

Outcome<Route> parse_route(const json& object) {
    const auto destination = parse_cidr(text_of(object, "dst"), "route");
    if (!destination) {
        return std::unexpected(destination.error());
    }
    const auto gateway = parse_gateway(object, "gw");
    if (!gateway) {
        return std::unexpected(gateway.error());
    }
    Route route;
    route.destination = Ipv4Prefix::masked(destination->first, destination->second);
    route.gateway = *gateway;
    const std::pair<const char*, std::optional<unsigned>*> numbers[] = {{"mtu", &route.mtu},
                                                                        {"advmss", &route.advmss},
                                                                        {"priority", &route.priority},
                                                                        {"table", &route.table},
                                                                        {"scope", &route.scope}};
    for (const auto& [key, target] : numbers) {
        const auto number = parse_number(object, key);
        if (!number) {
            return std::unexpected(number.error());
        }
        *target = *number;
    }
    return route;
}

Outcome<std::vector<Route>> parse_routes(const json& list) {
    std::vector<Route> routes;
    for (const auto& entry : list) {
        auto route = parse_route(entry);
        if (!route) {
            return std::unexpected(route.error());
        }
        routes.push_back(*route);
    }
    return routes;
}

json route_to_json(const Route& route, Ipv4Address default_gateway) {
    json object{{"dst", route.destination.to_string()}, {"gw", route.gateway.value_or(default_gateway).to_string()}};
    const std::pair<const char*, const std::optional<unsigned>*> numbers[] = {{"mtu", &route.mtu},
                                                                              {"advmss", &route.advmss},
                                                                              {"priority", &route.priority},
                                                                              {"table", &route.table},
                                                                              {"scope", &route.scope}};
    for (const auto& [key, value] : numbers) {
        if (*value) {
            object[key] = **value;
        }
    }
    return object;
}

json dns_of(const json& result) {
    const auto found = result.find("dns");
    return found != result.end() && found->is_object() && !found->empty() ? *found : json();
}

void erase_keys(json& list, std::initializer_list<const char*> keys) {
    for (auto& entry : list) {
        for (const char* const key : keys) {
            entry.erase(key);
        }
    }
}

std::optional<std::size_t> interface_index(const json& result, std::string_view if_name, std::string_view sandbox) {
    const auto& interfaces = list_of(result, "interfaces");
    for (std::size_t i = 0; i < interfaces.size(); ++i) {
        if (text_of(interfaces[i], "name") == if_name && text_of(interfaces[i], "sandbox") == sandbox) {
            return i;
        }
    }
    return std::nullopt;
}

const json* address_of_interface(const json& result, std::size_t index) {
    for (const auto& entry : list_of(result, "ips")) {
        const auto interface = entry.find("interface");
        if (interface != entry.end() && interface->is_number_integer() && interface->get<std::int64_t>() >= 0 &&
            interface->get<std::size_t>() == index) {
            return &entry;
        }
    }
    return nullptr;
}

Outcome<void> read_interface(const json& interface, MacAddress& mac, unsigned& mtu) {
    const auto parsed = MacAddress::parse(text_of(interface, "mac"));
    if (!parsed) {
        return refuse(Code::invalid_config, "prevResult: interface {}: {}", text_of(interface, "name"),
                      parsed.error().message);
    }
    mac = *parsed;
    const auto found = interface.find("mtu");
    mtu = found != interface.end() && found->is_number_unsigned() ? found->get<unsigned>() : 0;
    return {};
}

Outcome<void> read_address(const json& entry, Endpoint& endpoint) {
    const auto address = parse_cidr(text_of(entry, "address"), "prevResult: address");
    if (!address) {
        return std::unexpected(address.error());
    }
    const auto gateway = parse_gateway(entry, "gateway");
    if (!gateway) {
        return std::unexpected(gateway.error());
    }
    endpoint.ip = address->first;
    endpoint.gateway = gateway->value_or(Ipv4Address());
    return {};
}

}  // namespace

Outcome<IpamResult> parse_ipam_result(const json& result) {
    if (!result.is_object()) {
        return refuse(Code::decoding_failure, "the IPAM plugin's result is not a JSON object");
    }
    const auto& ips = list_of(result, "ips");
    for (const auto& entry : ips) {
        if (const auto text = text_of(entry, "address"); is_ipv6(text)) {
            return refuse(Code::invalid_config,
                          "the IPAM plugin assigned {}: IPv6 is not supported by this version of podlane", text);
        }
    }
    if (ips.size() != 1) {
        return refuse(Code::invalid_config, "the IPAM plugin assigned {} IPv4 addresses; podlane needs exactly one",
                      ips.size());
    }
    const auto address = parse_cidr(text_of(ips[0], "address"), "the IPAM plugin's address");
    if (!address) {
        return std::unexpected(address.error());
    }
    const auto gateway = parse_gateway(ips[0], "gateway");
    if (!gateway) {
        return std::unexpected(gateway.error());
    }
    auto routes = parse_routes(list_of(result, "routes"));
    if (!routes) {
        return std::unexpected(routes.error());
    }
    return IpamResult{address->first, *gateway, std::move(*routes), dns_of(result)};
}

json make_result(const Attachment& attachment, const json* prev_result, Version version) {
    const auto& endpoint = attachment.endpoint;
    json result = prev_result != nullptr ? *prev_result : json::object();
    json interfaces = list_of(result, "interfaces");
    json ips = list_of(result, "ips");
    json routes = list_of(result, "routes");
    interfaces.push_back(
        {{"name", endpoint.host_interface}, {"mac", endpoint.host_mac.to_string()}, {"mtu", endpoint.mtu}});
    interfaces.push_back({{"name", endpoint.if_name},
                          {"mac", endpoint.mac.to_string()},
                          {"mtu", endpoint.mtu},
                          {"sandbox", endpoint.netns}});
    ips.push_back({{"address", fmt::format("{}/32", endpoint.ip)},
                   {"gateway", endpoint.gateway.to_string()},
                   {"interface", interfaces.size() - 1}});
    for (const auto& route : attachment.routes) {
        routes.push_back(route_to_json(route, endpoint.gateway));
    }
    result["interfaces"] = std::move(interfaces);
    result["ips"] = std::move(ips);
    result["routes"] = std::move(routes);
    if (!attachment.dns.is_null()) {
        result["dns"] = attachment.dns;
    }
    return convert_result(std::move(result), version);
}

json convert_result(json result, Version version) {
    result["cniVersion"] = version.text();
    if (result.contains("ips")) {
        for (auto& entry : result["ips"]) {
            entry.erase("version");
            if (version < version_1_0_0) {
                entry["version"] = is_ipv6(text_of(entry, "address")) ? "6" : "4";
            }
        }
    }
    if (version < version_1_1_0 && result.contains("interfaces")) {
        erase_keys(result["interfaces"], {"mtu", "socketPath", "pciID"});
    }
    if (version < version_1_1_0 && result.contains("routes")) {
        erase_keys(result["routes"], {"mtu", "advmss", "priority", "table", "scope"});
    }
    return result;
}

bool has_interface(const json& result, std::string_view if_name, std::string_view sandbox) {
    return interface_index(result, if_name, sandbox).has_value();
}

Outcome<Attachment> attachment_from_result(const json& result, std::string_view container_id, std::string_view if_name,
                                           std::string_view sandbox) {
    Attachment attachment;
    auto& endpoint = attachment.endpoint;
    endpoint.container_id = container_id;
    endpoint.if_name = if_name;
    endpoint.netns = sandbox;
    endpoint.host_interface = host_interface_name(container_id, if_name);
    const auto inside = interface_index(result, if_name, sandbox);
    if (!inside) {
        return refuse(Code::invalid_config, "prevResult has no interface {} in {}", if_name, sandbox);
    }
    const auto host = interface_index(result, endpoint.host_interface, "");
    if (!host) {
        return refuse(Code::invalid_config, "prevResult has no host interface {}", endpoint.host_interface);
    }
    const json* const address = address_of_interface(result, *inside);
    if (address == nullptr) {
        return refuse(Code::invalid_config, "prevResult has no address of interface {}", if_name);
    }
    const auto& interfaces = list_of(result, "interfaces");
    auto done = read_interface(interfaces[*host], endpoint.host_mac, endpoint.mtu);
    if (done) {
        done = read_interface(interfaces[*inside], endpoint.mac, endpoint.mtu);
    }
    if (done) {
        done = read_address(*address, endpoint);
    }
    if (!done) {
        return std::unexpected(done.error());
    }
    // Other plugins of the chain may have routes in the list: ours go through our gateway.
    for (const auto& entry : list_of(result, "routes")) {
        if (text_of(entry, "gw") != endpoint.gateway.to_string()) {
            continue;
        }
        const auto route = parse_route(entry);
        if (!route) {
            return std::unexpected(route.error());
        }
        attachment.routes.push_back(*route);
    }
    return attachment;
}

json make_error(const Failure& failure, Version version) {
    json error{{"cniVersion", version.text()}, {"code", failure.code}, {"msg", failure.message}};
    if (!failure.details.empty()) {
        error["details"] = failure.details;
    }
    return error;
}

}  // namespace podlane::cni
