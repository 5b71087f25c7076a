// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/flannel_files.h"

#include <algorithm>
#include <charconv>
#include <ranges>
#include <set>

#include <nlohmann/json.hpp>

#include "agent/migrate/json_fields.h"

namespace podlane::migrate {
namespace {

constexpr std::uint32_t largest_vni = (1U << 24U) - 1;
constexpr std::uint32_t largest_mtu = 65535;

std::string lower_case(std::string text) {
    std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + ('a' - 'A')) : c; });
    return text;
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view space = " \t\r";
    const auto first = text.find_first_not_of(space);
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(space) - first + 1);
}

// A port of 0 is the kernel's default to flannel.
void read_backend(JsonFields backend, NetConf& conf) {
    conf.backend = lower_case(backend.text("Type"));
    conf.vni = backend.number<std::uint32_t>("VNI", conf.vni, largest_vni);
    const auto port = backend.number<std::uint16_t>("Port", conf.port);
    conf.port = port == 0 ? conf.port : port;
    conf.mtu = backend.number<std::uint32_t>("MTU", conf.mtu, largest_mtu);
    conf.direct_routing = backend.flag("DirectRouting", false);
}

Result<void> read_variable(std::string_view key, std::string_view value, SubnetEnv& env) {
    if (key == "FLANNEL_NETWORK" || key == "FLANNEL_SUBNET") {
        const auto cidr = Cidr::parse(value);
        if (!cidr) {
            return std::unexpected(cidr.error());
        }
        if (key == "FLANNEL_NETWORK") {
            env.network = cidr->prefix();
        } else {
            env.gateway = cidr->address;
            env.subnet = cidr->prefix();
        }
    } else if (key == "FLANNEL_MTU") {
        const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), env.mtu);
        if (error != std::errc() || end != value.data() + value.size() || env.mtu > largest_mtu) {
            return fail("\"{}\" is not a whole number from 0 to {}", printable(value), largest_mtu);
        }
    } else if (key == "FLANNEL_IPMASQ") {
        if (value != "true" && value != "false") {
            return fail("\"{}\" is neither true nor false", printable(value));
        }
        env.ip_masq = value == "true";
    }
    return {};
}

}  // namespace

Result<NetConf> parse_net_conf(std::string_view json) {
    const auto document = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
    if (document.is_discarded()) {
        return fail("net-conf.json: not valid JSON");
    }
    JsonProblem problem;
    JsonFields fields(document, "", problem, KeyCase::any);
    NetConf conf;
    conf.network = fields.parsed<Cidr>("Network").prefix();
    conf.ipv6 = fields.flag("EnableIPv6", false);
    conf.nftables = fields.flag("EnableNFTables", false);
    if (fields.has("Backend")) {
        read_backend(fields.object("Backend"), conf);
    }
    if (problem.first()) {
        return fail_within("net-conf.json", *problem.first());
    }
    return conf;
}

Result<SubnetEnv> parse_subnet_env(std::string_view text) {
    SubnetEnv env;
    std::set<std::string_view> keys;
    unsigned number = 0;
    for (const auto range : std::views::split(text, '\n')) {
        ++number;
        const auto line = trimmed(std::string_view(range.begin(), range.end()));
        if (line.empty()) {
            continue;
        }
        const auto equals = line.find('=');
        if (equals == std::string_view::npos) {
            return fail(R"(subnet.env: line {}: "{}" has no "=")", number, printable(line));
        }
        const auto key = trimmed(line.substr(0, equals));
        if (const auto read = read_variable(key, trimmed(line.substr(equals + 1)), env); !read) {
            return fail("subnet.env: line {}: {}: {}", number, printable(key), read.error().message);
        }
        keys.insert(key);
    }
    for (const std::string_view key : {"FLANNEL_NETWORK", "FLANNEL_SUBNET", "FLANNEL_MTU", "FLANNEL_IPMASQ"}) {
        if (!keys.contains(key)) {
            return fail("subnet.env: {} is missing", key);
        }
    }
    return env;
}

}  // namespace podlane::migrate
