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

json route_to_json(const Route& route) {
    json object{{"dst", route.destination.to_string()}};
    if (route.gateway) {
        object["gw"] = route.gateway->to_string();
    }
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

// The first IPv4 one.
const json* address_of_interface(const json& result, std::size_t index) {
    for (const auto& entry : list_of(result, "ips")) {
        const auto interface = entry.find("interface");
        if (interface != entry.end() && interface->is_number_integer() && interface->get<std::int64_t>() >= 0 &&
            interface->get<std::size_t>() == index && !is_ipv6(text_of(entry, "address"))) {
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

Outcome<void> read_address(const json& entry, Attachment& attachment) {
    const auto address = parse_cidr(text_of(entry, "address"), "prevResult: address");
    if (!address) {
        return std::unexpected(address.error());
    }
    const auto gateway = parse_gateway(entry, "gateway");
    if (!gateway) {
        return std::unexpected(gateway.error());
    }
    attachment.endpoint.ip = address->first;
    attachment.endpoint.gateway = gateway->value_or(Ipv4Address());
    attachment.prefix_length = address->second;
    return {};
}

// Of a veth: those through our gateway, as other plugins of the chain may have theirs in the list. Of a macvlan, which
// has a whole LAN of gateways: all of them.
Outcome<std::vector<Route>> routes_of(const json& result, const Endpoint& endpoint) {
    const bool macvlan = endpoint.host_interface.empty();
    json ours = json::array();
    for (const auto& entry : list_of(result, "routes")) {
        const bool through_gateway = text_of(entry, "gw") == endpoint.gateway.to_string();
        if (through_gateway || (macvlan && !is_ipv6(text_of(entry, "dst")))) {
            ours.push_back(entry);
        }
    }
    return parse_routes(ours);
}

// For veth: the host's side of the pair.
Outcome<void> read_host_side(const json& result, Endpoint& endpoint) {
    endpoint.host_interface = host_interface_name(endpoint.container_id, endpoint.if_name);
    const auto host = interface_index(result, endpoint.host_interface, "");
    if (!host) {
        return refuse(Code::invalid_config, "prevResult has no host interface {}", endpoint.host_interface);
    }
    return read_interface(list_of(result, "interfaces")[*host], endpoint.host_mac, endpoint.mtu);
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
    return IpamResult{address->first, *gateway, std::move(*routes), dns_of(result), address->second};
}

json make_result(const Attachment& attachment, const json* prev_result, Version version) {
    const auto& endpoint = attachment.endpoint;
    json result = prev_result != nullptr ? *prev_result : json::object();
    json interfaces = list_of(result, "interfaces");
    json ips = list_of(result, "ips");
    if (!endpoint.host_interface.empty()) {
        interfaces.push_back(
            {{"name", endpoint.host_interface}, {"mac", endpoint.host_mac.to_string()}, {"mtu", endpoint.mtu}});
    }
    interfaces.push_back({{"name", endpoint.if_name},
                          {"mac", endpoint.mac.to_string()},
                          {"mtu", endpoint.mtu},
                          {"sandbox", endpoint.netns}});
    if (!endpoint.ip.is_unspecified()) {
        json address{{"address", fmt::format("{}/{}", endpoint.ip, attachment.prefix_length)},
                     {"interface", interfaces.size() - 1}};
        if (!endpoint.gateway.is_unspecified()) {
            address["gateway"] = endpoint.gateway.to_string();
        }
        ips.push_back(std::move(address));
    }
    result["interfaces"] = std::move(interfaces);
    result["ips"] = std::move(ips);
    if (!attachment.dns.is_null()) {
        result["dns"] = attachment.dns;
    }
    return with_routes(std::move(result), attachment.routes, version);
}

json with_routes(json prev_result, const std::vector<Route>& added, Version version) {
    json routes = list_of(prev_result, "routes");
    for (const auto& route : added) {
        routes.push_back(route_to_json(route));
    }
    prev_result["routes"] = std::move(routes);
    return convert_result(std::move(prev_result), version);
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

bool has_host_side(const json& result, const AttachmentKey& who) {
    return has_interface(result, host_interface_name(who.container_id, who.if_name), "");
}

Outcome<Attachment> attachment_from_result(const json& result, const AttachmentKey& who, LinkKind link) {
    Attachment attachment;
    auto& endpoint = attachment.endpoint;
    endpoint.container_id = who.container_id;
    endpoint.if_name = who.if_name;
    endpoint.netns = who.netns;
    endpoint.link = link == LinkKind::veth ? "veth" : "macvlan";
    const auto inside = interface_index(result, who.if_name, who.netns);
    if (!inside) {
        return refuse(Code::invalid_config, "prevResult has no interface {} in {}", who.if_name, who.netns);
    }
    auto done = link == LinkKind::veth ? read_host_side(result, endpoint) : Outcome<void>();
    const json* const address = address_of_interface(result, *inside);
    if (done && address == nullptr && link == LinkKind::veth) {
        done = refuse(Code::invalid_config, "prevResult has no address of interface {}", who.if_name);
    }
    if (done) {
        done = read_interface(list_of(result, "interfaces")[*inside], endpoint.mac, endpoint.mtu);
    }
    if (done && address != nullptr) {
        done = read_address(*address, attachment);
    }
    auto routes = done ? routes_of(result, endpoint) : std::unexpected(done.error());
    if (!routes) {
        return std::unexpected(routes.error());
    }
    attachment.routes = std::move(*routes);
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
