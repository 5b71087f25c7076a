// SPDX-License-Identifier: Apache-2.0
// The network as JSON, for the record of a migration.
#include "agent/migrate/flannel_network.h"
#include "agent/migrate/json_fields.h"

namespace podlane::migrate {
namespace {

using Json = nlohmann::json;

template <typename T>
Json text_or_null(const std::optional<T>& value) {
    return value ? Json(value->to_string()) : Json();
}

Json device_to_json(const FlannelDevice& device) {
    return {{"name", device.name},           {"vni", device.vni},           {"port", device.port},
            {"mac", device.mac.to_string()}, {"mtu", device.mtu},           {"local", text_or_null(device.local)},
            {"lower", device.lower},         {"learning", device.learning}, {"udpChecksum", device.udp_checksum}};
}

Json route_to_json(const FlannelRoute& entry) {
    const auto& route = entry.route;
    return {{"destination", route.destination.to_string()},
            {"device", entry.device},
            {"gateway", text_or_null(route.gateway)},
            {"source", text_or_null(route.source)},
            {"scope", route.scope},
            {"protocol", route.protocol},
            {"metric", route.metric},
            {"table", route.table},
            {"onLink", route.on_link},
            {"mtu", route.mtu}};
}

FlannelDevice device_from(JsonFields fields) {
    FlannelDevice device{.name = fields.text("name"),
                         .vni = fields.number<std::uint32_t>("vni"),
                         .port = fields.number<std::uint16_t>("port"),
                         .mac = fields.parsed<MacAddress>("mac"),
                         .mtu = fields.number<std::uint32_t>("mtu"),
                         .local = fields.optional_parsed<Ipv4Address>("local"),
                         .lower = fields.text("lower"),
                         .learning = fields.flag("learning"),
                         .udp_checksum = fields.flag("udpChecksum")};
    if (device.name.empty()) {
        fields.report("name", "is empty");
    }
    if (!device.mac.is_unicast()) {
        fields.report("mac", "no address of one device");
    }
    return device;
}

netlink::InterfaceAddress address_from(JsonFields fields) {
    const auto cidr = fields.parsed<Cidr>("address");
    return {.address = cidr.address,
            .prefix_length = static_cast<std::uint8_t>(cidr.length),
            .scope = fields.number<std::uint8_t>("scope")};
}

FlannelRoute route_from(JsonFields fields) {
    return {.device = fields.text("device"),
            .route = {.destination = fields.parsed<Ipv4Prefix>("destination"),
                      .gateway = fields.optional_parsed<Ipv4Address>("gateway"),
                      .source = fields.optional_parsed<Ipv4Address>("source"),
                      .scope = fields.number<std::uint8_t>("scope"),
                      .protocol = fields.number<std::uint8_t>("protocol"),
                      .metric = fields.number<std::uint32_t>("metric"),
                      .table = fields.number<std::uint32_t>("table"),
                      .on_link = fields.flag("onLink"),
                      .mtu = fields.number<std::uint32_t>("mtu")}};
}

netlink::Neighbour neighbour_from(JsonFields fields) {
    return {.address = fields.parsed<Ipv4Address>("address"),
            .mac = fields.parsed<MacAddress>("mac"),
            .flags = fields.number<std::uint8_t>("flags"),
            .protocol = fields.number<std::uint8_t>("protocol")};
}

netlink::FdbEntry fdb_entry_from(JsonFields fields) {
    return {.mac = fields.parsed<MacAddress>("mac"),
            .remote = fields.parsed<Ipv4Address>("remote"),
            .state = fields.number<std::uint16_t>("state"),
            .flags = fields.number<std::uint8_t>("flags")};
}

// Every element of the list `key` that `read` makes something of.
template <typename T>
std::vector<T> list_from(JsonFields& fields, std::string_view key, T (*read)(JsonFields)) {
    if (!fields.has(key)) {
        fields.report(key, "is missing");
    }
    std::vector<T> entries;
    for (const auto& element : fields.objects(key)) {
        entries.push_back(read(element));
    }
    return entries;
}

}  // namespace

Json to_json(const FlannelNetwork& network) {
    Json json = {{"device", device_to_json(network.device)},
                 {"addresses", Json::array()},
                 {"routes", Json::array()},
                 {"neighbours", Json::array()},
                 {"fdb", Json::array()}};
    for (const auto& address : network.addresses) {
        json["addresses"].push_back({{"address", address.to_string()}, {"scope", address.scope}});
    }
    for (const auto& route : network.routes) {
        json["routes"].push_back(route_to_json(route));
    }
    for (const auto& entry : network.neighbours) {
        json["neighbours"].push_back({{"address", entry.address.to_string()},
                                      {"mac", text_or_null(entry.mac)},
                                      {"flags", entry.flags},
                                      {"protocol", entry.protocol}});
    }
    for (const auto& entry : network.fdb) {
        json["fdb"].push_back({{"mac", entry.mac.to_string()},
                               {"remote", text_or_null(entry.remote)},
                               {"state", entry.state},
                               {"flags", entry.flags}});
    }
    return json;
}

Result<FlannelNetwork> flannel_network_from_json(const Json& json) {
    JsonProblem problem;
    JsonFields fields(json, "", problem);
    FlannelNetwork network{.device = device_from(fields.object("device")),
                           .addresses = list_from(fields, "addresses", &address_from),
                           .routes = list_from(fields, "routes", &route_from),
                           .neighbours = list_from(fields, "neighbours", &neighbour_from),
                           .fdb = list_from(fields, "fdb", &fdb_entry_from)};
    if (problem.first()) {
        return std::unexpected(*problem.first());
    }
    return network;
}

}  // namespace podlane::migrate
