// SPDX-License-Identifier: Apache-2.0
#include "maps/format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include <arpa/inet.h>
#include <nlohmann/json.hpp>

#include "maps/base/address.h"
#include "maps/names.h"

namespace podlane {
namespace {

// One field of a key, both ways.
std::string address_text(__be32 wire) {
    return Ipv4Address::from_wire(wire).to_string();
}

std::string prefix_text(__be32 wire, __u32 length) {
    return fmt::format("{}/{}", address_text(wire), length);
}

std::string mac_text(const __u8 (&bytes)[ETH_ALEN]) {
    return MacAddress(std::to_array(bytes)).to_string();
}

Result<__be32> parse_address(std::string_view text) {
    const auto address = Ipv4Address::parse(text);
    if (!address) {
        return std::unexpected(address.error());
    }
    return address->wire();
}

Result<__be16> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return fail("\"{}\" is no port (0 to 65535)", text);
    }
    return htons(port);
}

template <typename Integer>
Result<Integer> parse_name(Names names, std::string_view text, std::string_view what) {
    const auto value = value_of(names, text);
    if (!value || *value > std::numeric_limits<Integer>::max()) {
        return fail("\"{}\" is no {} ({})", text, what, joined(names));
    }
    return static_cast<Integer>(*value);
}

Result<__u32> parse_index(std::string_view text) {
    const auto value = value_of({}, text);
    return value ? Result<__u32>(*value) : fail("\"{}\" is no index (a number)", text);
}

// The first error of several fields, so that a key is taken apart without a return for each.
class FieldErrors {
public:
    template <typename T>
    T operator()(Result<T> field) {
        if (!field && !first_) {
            first_ = field.error();
        }
        return field.value_or(T{});
    }
    template <typename Key>
    Result<Key> otherwise(const Key& key) const {
        return first_ ? Result<Key>(std::unexpected(*first_)) : Result<Key>(key);
    }

private:
    std::optional<Error> first_;
};

using FieldNames = std::span<const std::string_view>;
constexpr auto address_fields = std::to_array<std::string_view>({"address"});
constexpr auto pod_cidr_fields = std::to_array<std::string_view>({"podCIDR"});
constexpr auto network_fields = std::to_array<std::string_view>({"prefix"});
constexpr auto index_fields = std::to_array<std::string_view>({"index"});
constexpr auto device_fields = std::to_array<std::string_view>({"ifindex"});
constexpr auto path_fields = std::to_array<std::string_view>({"path"});
constexpr auto reason_fields = std::to_array<std::string_view>({"reason", "direction"});
constexpr auto flow_fields =
    std::to_array<std::string_view>({"protocol", "podIP", "podPort", "remoteIP", "remotePort"});
constexpr auto nat_reply_fields =
    std::to_array<std::string_view>({"protocol", "natIP", "natPort", "remoteIP", "remotePort"});
constexpr auto nat_destination_fields =
    std::to_array<std::string_view>({"protocol", "natIP", "remoteIP", "remotePort"});
constexpr auto nat_fragment_fields = std::to_array<std::string_view>({"protocol", "sourceIP", "destinationIP", "id"});

Result<std::vector<std::string>> split_json(std::string_view text, FieldNames names) {
    const auto object = Json::parse(text, nullptr, false);
    if (!object.is_object() || object.size() != names.size()) {
        return fail("key {}: expected a JSON object with {}", text, fmt::join(names, ", "));
    }
    std::vector<std::string> fields;
    for (const auto name : names) {
        const auto field = object.find(std::string(name));
        if (field == object.end() || !(field->is_string() || field->is_number_unsigned())) {
            return fail("key {}: \"{}\" is missing, or neither text nor a number", text, name);
        }
        fields.push_back(cell_of(*field));
    }
    return fields;
}

// The fields of a key as typed: with colons between them, or as the JSON object that was printed.
Result<std::vector<std::string>> split_key(std::string_view text, FieldNames names) {
    if (text.starts_with('{')) {
        return split_json(text, names);
    }
    std::vector<std::string> fields;
    for (std::size_t start = 0; start <= text.size();) {
        const auto colon = std::min(text.find(':', start), text.size());
        fields.emplace_back(text.substr(start, colon - start));
        start = colon + 1;
    }
    if (fields.size() != names.size()) {
        return fail("key \"{}\": expected {}", text, fmt::join(names, ":"));
    }
    return fields;
}

// Splits, then calls `parse(fields, errors)` for the key.
template <typename Key, typename Parse>
Result<Key> parse_key(std::string_view text, FieldNames names, const Parse& parse) {
    const auto fields = split_key(text, names);
    if (!fields) {
        return std::unexpected(fields.error());
    }
    FieldErrors errors;
    const Key key = parse(*fields, errors);
    return errors.otherwise(key);
}

Result<reason_key> parse_reason(std::string_view text, Names reasons) {
    return parse_key<reason_key>(text, reason_fields, [reasons](const auto& fields, FieldErrors& check) {
        return reason_key{.reason = check(parse_name<__u16>(reasons, fields[0], "reason")),
                          .direction = check(parse_name<__u16>(names::directions, fields[1], "direction"))};
    });
}

std::string reason_text(const reason_key& key, Names reasons) {
    return fmt::format("{}:{}", name_of(reasons, key.reason), name_of(names::directions, key.direction));
}

// Of bits, the names of those that are set.
template <typename Bit>
std::vector<std::string> names_of(std::initializer_list<Bit> bits, unsigned set) {
    std::vector<std::string> all;
    for (const Bit bit : bits) {
        if ((set & bit) != 0) {
            all.push_back(name_of(bit));
        }
    }
    return all;
}

Json reason_json(const reason_key& key, Names reasons) {
    return {{"reason", name_of(reasons, key.reason)}, {"direction", name_of(names::directions, key.direction)}};
}

}  // namespace

std::string cell_of(const Json& field) {
    if (field.is_string()) {
        return field.get_ref<const std::string&>();
    }
    if (!field.is_array()) {
        return field.dump();
    }
    std::string list;
    for (const auto& element : field) {
        list += (list.empty() ? "" : ",") + cell_of(element);
    }
    return list.empty() ? "-" : list;
}

template <MapValue T>
std::string text_of(const T& value) {
    const Json fields = json_of(value);
    std::string line;
    for (const auto& [name, field] : fields.items()) {
        line += fmt::format("{}{}={}", line.empty() ? "" : " ", name, cell_of(field));
    }
    return line;
}
template std::string text_of(const node_route& route);
template std::string text_of(const pod_endpoint& pod);
template std::string text_of(const network_entry& network);
template std::string text_of(const pod_cidr_lengths& lengths);
template std::string text_of(const flow_entry& flow);
template std::string text_of(const packet_counter& counter);
template std::string text_of(const nat_entry& entry);
template std::string text_of(const nat_claim& claim);
template std::string text_of(const nat_ports& ports);
template std::string text_of(const nat_port_page& page);
template std::string text_of(const nat_pod_flows& flows);
template std::string text_of(const nat_fragment& fragment);
template std::string text_of(const nat_device& device);
template std::string text_of(const macvlan_pod& pod);

Json json_of(const node_route& route) {
    return {{"vtep", address_text(route.vtep)},
            {"nextHop", address_text(route.next_hop)},
            {"ifindex", route.ifindex},
            {"mtu", route.mtu},
            {"vtepMac", mac_text(route.vtep_mac)},
            {"path", name_of(static_cast<node_path>(route.path))}};
}

Json json_of(const pod_endpoint& pod) {
    return {{"ifindex", pod.ifindex},
            {"mtu", pod.mtu},
            {"gateway", address_text(pod.gateway)},
            {"mac", mac_text(pod.mac)},
            {"hostMac", mac_text(pod.host_mac)},
            {"egressIP", pod.egress_address != 0 ? address_text(pod.egress_address) : std::string()},
            {"snat", (pod.flags & POD_FLAG_NO_SNAT) == 0}};
}

Json json_of(const macvlan_pod& pod) {
    return {{"ifindex", pod.ifindex}, {"hostIP", address_text(pod.host_address)}, {"mac", mac_text(pod.mac)}};
}

Json json_of(const network_entry& network) {
    return {{"class", name_of(static_cast<network_class>(network.network_class))}};
}

Json json_of(const pod_cidr_lengths& lengths) {
    const auto count = std::min<std::size_t>(lengths.count, POD_CIDR_LENGTHS_MAX);
    return {{"lengths", std::vector<unsigned>(lengths.length, lengths.length + count)}};
}

Json json_of(const flow_entry& flow) {
    std::vector<std::string> pending;
    for (const auto direction : {FLOW_PENDING_FROM_POD, FLOW_PENDING_TO_POD}) {
        if ((flow.pending & direction) != 0) {
            pending.push_back(name_of(direction));
        }
    }
    return {{"owner", name_of(static_cast<flow_owner>(flow.owner))}, {"pending", pending}};
}

Json json_of(const packet_counter& counter) {
    return {{"packets", counter.packets}, {"bytes", counter.bytes}};
}

Json json_of(const nat_entry& entry) {
    return {{"natIP", address_text(entry.nat_address)},
            {"natPort", ntohs(entry.nat_port)},
            {"flags", names_of({NAT_FLAG_STACK, NAT_FLAG_HOST}, entry.flags)},
            {"podSeen", names_of({NAT_SEEN_DATA, NAT_SEEN_FIN, NAT_SEEN_RST}, entry.pod_seen)},
            {"remoteSeen", names_of({NAT_SEEN_DATA, NAT_SEEN_FIN, NAT_SEEN_RST}, entry.remote_seen)},
            {"lastSeen", entry.last_seen}};
}

Json json_of(const nat_claim& claim) {
    Json fields = FlowKeyFormat::json(claim.flow);
    fields["since"] = claim.since;
    return fields;
}

Json json_of(const nat_ports& ports) {
    std::int64_t used = 0;
    for (const auto block : ports.used) {
        used += block;
    }
    return {{"used", used}};
}

Json json_of(const nat_port_page& page) {
    return {{"given", std::ranges::count(page.given, __u8{1})}};
}

Json json_of(const nat_pod_flows& flows) {
    return {{"flows", flows.flows}};
}

Json json_of(const nat_fragment& fragment) {
    return {{"address", address_text(fragment.address)},
            {"flags", names_of({NAT_FLAG_STACK, NAT_FLAG_HOST}, fragment.flags)},
            {"seen", fragment.seen}};
}

Json json_of(const nat_device& device) {
    return {
        {"address", address_text(device.address)},
        {"flags", names_of({NAT_DEVICE_OWN, NAT_DEVICE_SHARED, NAT_DEVICE_L3, NAT_DEVICE_INNER, NAT_DEVICE_HOST_ABOVE},
                           device.flags)},
        {"mtu", device.mtu},
        {"mac", mac_text(device.mac)},
        {"shimMac", mac_text(device.shim_mac)}};
}

std::string AddressKeyFormat::text(__be32 key) {
    return address_text(key);
}
Json AddressKeyFormat::json(__be32 key) {
    return {{"address", text(key)}};
}
Result<__be32> AddressKeyFormat::parse(std::string_view text) {
    return parse_key<__be32>(text, address_fields,
                             [](const auto& fields, FieldErrors& check) { return check(parse_address(fields[0])); });
}

std::string PodCidrKeyFormat::text(const pod_cidr_key& key) {
    return prefix_text(key.address, key.prefix_length);
}
Json PodCidrKeyFormat::json(const pod_cidr_key& key) {
    return {{"podCIDR", text(key)}};
}
Result<pod_cidr_key> PodCidrKeyFormat::parse(std::string_view text) {
    return parse_key<pod_cidr_key>(text, pod_cidr_fields, [](const auto& fields, FieldErrors& check) {
        const auto prefix = check(Ipv4Prefix::parse(fields[0]));
        return pod_cidr_key{.address = prefix.address().wire(), .prefix_length = prefix.length()};
    });
}

std::string NetworkKeyFormat::text(const network_key& key) {
    return prefix_text(key.address, key.prefix_length);
}
Json NetworkKeyFormat::json(const network_key& key) {
    return {{"prefix", text(key)}};
}
Result<network_key> NetworkKeyFormat::parse(std::string_view text) {
    return parse_key<network_key>(text, network_fields, [](const auto& fields, FieldErrors& check) {
        const auto prefix = check(Ipv4Prefix::parse(fields[0]));
        return network_key{.prefix_length = prefix.length(), .address = prefix.address().wire()};
    });
}

std::string FlowKeyFormat::text(const flow_key& key) {
    return fmt::format("{}:{}:{}:{}:{}", name_of(names::protocols, key.protocol), address_text(key.pod_address),
                       ntohs(key.pod_port), address_text(key.remote_address), ntohs(key.remote_port));
}
Json FlowKeyFormat::json(const flow_key& key) {
    return {{"protocol", name_of(names::protocols, key.protocol)},
            {"podIP", address_text(key.pod_address)},
            {"podPort", ntohs(key.pod_port)},
            {"remoteIP", address_text(key.remote_address)},
            {"remotePort", ntohs(key.remote_port)}};
}
Result<flow_key> FlowKeyFormat::parse(std::string_view text) {
    return parse_key<flow_key>(text, flow_fields, [](const auto& fields, FieldErrors& check) {
        flow_key key{};
        key.protocol = check(parse_name<__u8>(names::protocols, fields[0], "protocol"));
        key.pod_address = check(parse_address(fields[1]));
        key.pod_port = check(parse_port(fields[2]));
        key.remote_address = check(parse_address(fields[3]));
        key.remote_port = check(parse_port(fields[4]));
        return key;
    });
}

std::string NatReplyKeyFormat::text(const nat_reply_key& key) {
    return fmt::format("{}:{}:{}:{}:{}", name_of(names::protocols, key.protocol), address_text(key.nat_address),
                       ntohs(key.nat_port), address_text(key.remote_address), ntohs(key.remote_port));
}
Json NatReplyKeyFormat::json(const nat_reply_key& key) {
    return {{"protocol", name_of(names::protocols, key.protocol)},
            {"natIP", address_text(key.nat_address)},
            {"natPort", ntohs(key.nat_port)},
            {"remoteIP", address_text(key.remote_address)},
            {"remotePort", ntohs(key.remote_port)}};
}
Result<nat_reply_key> NatReplyKeyFormat::parse(std::string_view text) {
    return parse_key<nat_reply_key>(text, nat_reply_fields, [](const auto& fields, FieldErrors& check) {
        nat_reply_key key{};
        key.protocol = check(parse_name<__u8>(names::protocols, fields[0], "protocol"));
        key.nat_address = check(parse_address(fields[1]));
        key.nat_port = check(parse_port(fields[2]));
        key.remote_address = check(parse_address(fields[3]));
        key.remote_port = check(parse_port(fields[4]));
        return key;
    });
}

std::string NatDestinationKeyFormat::text(const nat_destination& key) {
    return fmt::format("{}:{}:{}:{}", name_of(names::protocols, key.protocol), address_text(key.nat_address),
                       address_text(key.remote_address), ntohs(key.remote_port));
}
Json NatDestinationKeyFormat::json(const nat_destination& key) {
    return {{"protocol", name_of(names::protocols, key.protocol)},
            {"natIP", address_text(key.nat_address)},
            {"remoteIP", address_text(key.remote_address)},
            {"remotePort", ntohs(key.remote_port)}};
}
Result<nat_destination> NatDestinationKeyFormat::parse(std::string_view text) {
    return parse_key<nat_destination>(text, nat_destination_fields, [](const auto& fields, FieldErrors& check) {
        nat_destination key{};
        key.protocol = check(parse_name<__u8>(names::protocols, fields[0], "protocol"));
        key.nat_address = check(parse_address(fields[1]));
        key.remote_address = check(parse_address(fields[2]));
        key.remote_port = check(parse_port(fields[3]));
        return key;
    });
}

std::string NatFragmentKeyFormat::text(const nat_fragment_key& key) {
    return fmt::format("{}:{}:{}:{}", name_of(names::protocols, key.protocol), address_text(key.source),
                       address_text(key.destination), ntohs(key.id));
}
Json NatFragmentKeyFormat::json(const nat_fragment_key& key) {
    return {{"protocol", name_of(names::protocols, key.protocol)},
            {"sourceIP", address_text(key.source)},
            {"destinationIP", address_text(key.destination)},
            {"id", ntohs(key.id)}};
}
Result<nat_fragment_key> NatFragmentKeyFormat::parse(std::string_view text) {
    return parse_key<nat_fragment_key>(text, nat_fragment_fields, [](const auto& fields, FieldErrors& check) {
        nat_fragment_key key{};
        key.protocol = check(parse_name<__u8>(names::protocols, fields[0], "protocol"));
        key.source = check(parse_address(fields[1]));
        key.destination = check(parse_address(fields[2]));
        key.id = check(parse_port(fields[3]));
        return key;
    });
}

std::string DeviceKeyFormat::text(__u32 key) {
    return std::to_string(key);
}
Json DeviceKeyFormat::json(__u32 key) {
    return {{"ifindex", key}};
}
Result<__u32> DeviceKeyFormat::parse(std::string_view text) {
    return parse_key<__u32>(text, device_fields,
                            [](const auto& fields, FieldErrors& check) { return check(parse_index(fields[0])); });
}

std::string DropKeyFormat::text(const reason_key& key) {
    return reason_text(key, names::drop_reasons);
}
Json DropKeyFormat::json(const reason_key& key) {
    return reason_json(key, names::drop_reasons);
}
Result<reason_key> DropKeyFormat::parse(std::string_view text) {
    return parse_reason(text, names::drop_reasons);
}

std::string HandoverKeyFormat::text(const reason_key& key) {
    return reason_text(key, names::handover_reasons);
}
Json HandoverKeyFormat::json(const reason_key& key) {
    return reason_json(key, names::handover_reasons);
}
Result<reason_key> HandoverKeyFormat::parse(std::string_view text) {
    return parse_reason(text, names::handover_reasons);
}

std::string ForwardPathKeyFormat::text(__u32 key) {
    return name_of(names::forward_paths, key);
}
Json ForwardPathKeyFormat::json(__u32 key) {
    return {{"path", text(key)}};
}
Result<__u32> ForwardPathKeyFormat::parse(std::string_view text) {
    return parse_key<__u32>(text, path_fields, [](const auto& fields, FieldErrors& check) {
        return check(parse_name<__u32>(names::forward_paths, fields[0], "path"));
    });
}

std::string IndexKeyFormat::text(__u32 key) {
    return std::to_string(key);
}
Json IndexKeyFormat::json(__u32 key) {
    return {{"index", key}};
}
Result<__u32> IndexKeyFormat::parse(std::string_view text) {
    return parse_key<__u32>(text, index_fields,
                            [](const auto& fields, FieldErrors& check) { return check(parse_index(fields[0])); });
}

}  // namespace podlane
