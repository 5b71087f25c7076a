// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/layout.h"

#include <strings.h>

#include <algorithm>
#include <iterator>
#include <limits>

#include <nlohmann/json.hpp>

#include "agent/state/flannel_annotations.h"
#include "agent/text/printable.h"

namespace podlane::etcd {
namespace {

using nlohmann::json;

constexpr unsigned address_bits = 32;
constexpr unsigned longest_subnet = 30;  // a node needs an address beside its pods'
constexpr unsigned usual_subnet = 24;

// encoding/json: the exact name if it is there, otherwise one that differs in case only. Null counts as absent.
const json* member(const json& object, const char* name) {
    const json* found = nullptr;
    if (!object.is_object()) {
        return nullptr;
    }
    for (const auto& [key, value] : object.items()) {
        if (strcasecmp(key.c_str(), name) == 0 && (found == nullptr || key == name)) {
            found = &value;
        }
    }
    return found == nullptr || found->is_null() ? nullptr : found;
}

std::string text_of(const json* value) {
    return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

template <typename Number>
std::optional<Number> number_of(const json* value) {
    if (value == nullptr || !value->is_number_unsigned() ||
        value->get<std::uint64_t>() > std::numeric_limits<Number>::max()) {
        return std::nullopt;
    }
    return value->get<Number>();
}

constexpr std::uint64_t size_of(unsigned length) {
    return std::uint64_t{1} << (address_bits - length);
}

Result<void> read_subnet_length(const json& conf, Network& network) {
    const unsigned outer = network.network.length();
    const json* const given = member(conf, "SubnetLen");
    if (given == nullptr || *given == 0) {
        if (outer + 2 > longest_subnet) {
            return fail("Network: {} is too small for subnets", network.network);
        }
        network.subnet_length = std::max(usual_subnet, outer + 2);
        return {};
    }
    const auto length = number_of<unsigned>(given);
    if (!length || *length > longest_subnet || *length < outer + 2) {
        return fail("SubnetLen: {} does not fit into {}: from {} to {}", printable(given->dump()), network.network,
                    outer + 2, longest_subnet);
    }
    network.subnet_length = *length;
    return {};
}

Result<Ipv4Address> read_bound(const json& conf, const char* name, const Network& network, Ipv4Address otherwise) {
    const json* const given = member(conf, name);
    if (given == nullptr || (given->is_string() && text_of(given).empty())) {
        return otherwise;
    }
    const auto address = Ipv4Address::parse(text_of(given));
    if (!address || !network.network.contains(*address)) {
        return fail("{}: {} is not an address of {}", name, printable(given->dump()), network.network);
    }
    if (Ipv4Prefix::masked(*address, network.subnet_length).address() != *address) {
        return fail("{}: {} is not the address of a /{}", name, *address, network.subnet_length);
    }
    return *address;
}

BackendData backend_data_of(const json& data) {
    const auto mac = MacAddress::parse(text_of(member(data, "VtepMAC")));
    return {.vni = number_of<std::uint32_t>(member(data, "VNI")),
            .vtep_mac = mac && mac->is_unicast() ? std::optional(*mac) : std::nullopt};
}

// What is contained in another one goes.
std::vector<Ipv4Prefix> outermost(std::vector<Ipv4Prefix> prefixes) {
    std::ranges::sort(prefixes);
    std::vector<Ipv4Prefix> result;
    for (const auto& prefix : prefixes) {
        if (result.empty() || !result.back().contains(prefix)) {
            result.push_back(prefix);
        }
    }
    return result;
}

}  // namespace

bool Network::allows(const Ipv4Prefix& subnet) const {
    return subnet.length() == subnet_length && subnet.address() >= first && subnet.address() <= last;
}

Result<Network> parse_network(std::string_view text) {
    const auto conf = json::parse(text, nullptr, false);
    if (!conf.is_object()) {
        return fail("is not a JSON object");
    }
    if (const auto* const enabled = member(conf, "EnableIPv4"); enabled != nullptr && *enabled == false) {
        return fail("EnableIPv4: podlane needs IPv4");
    }
    const auto prefix = Ipv4Prefix::parse(text_of(member(conf, "Network")));
    if (!prefix) {
        return fail("Network: {}", printable(prefix.error().message));
    }
    Network network{.network = *prefix, .first = {}, .last = {}};
    if (auto read = read_subnet_length(conf, network); !read) {
        return std::unexpected(read.error());
    }
    const auto size = static_cast<std::uint32_t>(size_of(network.subnet_length));
    const auto end = prefix->address().host() + static_cast<std::uint32_t>(size_of(prefix->length()) - size);
    // The first one's .0 address is the network's own.
    const auto first = read_bound(conf, "SubnetMin", network, Ipv4Address::from_host(prefix->address().host() + size));
    const auto last = read_bound(conf, "SubnetMax", network, Ipv4Address::from_host(end));
    if (!first || !last) {
        return std::unexpected(first ? last.error() : first.error());
    }
    if (*first > *last) {
        return fail("SubnetMin: {} comes after SubnetMax {}", *first, *last);
    }
    network.first = *first;
    network.last = *last;
    if (const auto* const backend = member(conf, "Backend")) {
        network.vni = number_of<std::uint32_t>(member(*backend, "VNI"));
        network.port = number_of<std::uint16_t>(member(*backend, "Port"));
    }
    return network;
}

std::optional<Ipv4Prefix> parse_subnet_key(std::string_view name) {
    name = name.substr(0, name.find('&'));
    const auto dash = name.find('-');
    if (dash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto prefix = Ipv4Prefix::parse(fmt::format("{}/{}", name.substr(0, dash), name.substr(dash + 1)));
    return prefix ? std::optional(*prefix) : std::nullopt;
}

std::string subnet_key(const Ipv4Prefix& subnet) {
    return fmt::format("{}-{}", subnet.address(), subnet.length());
}

std::optional<BadValue> read_subnet_value(std::string_view text, Subnet& subnet) {
    const auto value = json::parse(text, nullptr, false);
    if (!value.is_object()) {
        return BadValue{.member = "value", .message = fmt::format("\"{}\" is not a JSON object", printable(text))};
    }
    const auto public_ip = text_of(member(value, "PublicIP"));
    const auto address = Ipv4Address::parse(public_ip);
    if (!address || !address->is_unicast()) {
        return BadValue{.member = "PublicIP",
                        .message = fmt::format("\"{}\" is not an IPv4 unicast address", printable(public_ip))};
    }
    subnet.public_ip = *address;
    subnet.backend_type = text_of(member(value, "BackendType"));
    if (const auto* const data = member(value, "BackendData")) {
        const auto read = backend_data_of(*data);
        subnet.vtep_mac = read.vtep_mac;
        subnet.vni = read.vni;
    }
    return std::nullopt;
}

bool Attributes::are_those_of(const Subnet& subnet) const {
    return subnet.public_ip == public_ip && subnet.backend_type == "vxlan" && subnet.vtep_mac == vtep_mac &&
           subnet.vni == vni;
}

std::string subnet_value(const Attributes& attributes) {
    return fmt::format(R"({{"PublicIP":"{}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{}}})",
                       attributes.public_ip, flannel_backend_data(attributes.vni, attributes.vtep_mac));
}

BackendData read_backend_data(std::string_view text) {
    return backend_data_of(json::parse(text, nullptr, false));
}

std::optional<Ipv4Prefix> choose_subnet(const Network& network, std::vector<Ipv4Prefix> taken, const Random& random) {
    const auto size = size_of(network.subnet_length);
    const auto count = (network.last.host() - network.first.host()) / size + 1;
    const auto start = static_cast<std::uint64_t>(random() * static_cast<double>(count));
    taken = outermost(std::move(taken));
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto host = network.first.host() + static_cast<std::uint32_t>((start + i) % count * size);
        const auto subnet = Ipv4Prefix::masked(Ipv4Address::from_host(host), network.subnet_length);
        // Only the last one that begins within or before it can overlap it.
        const auto end = Ipv4Address::from_host(static_cast<std::uint32_t>(host + size - 1));
        const auto after = std::ranges::upper_bound(taken, end, {}, &Ipv4Prefix::address);
        if (after == taken.begin() || !std::prev(after)->overlaps(subnet)) {
            return subnet;
        }
    }
    return std::nullopt;
}

}  // namespace podlane::etcd
