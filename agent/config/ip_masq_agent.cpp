// SPDX-License-Identifier: Apache-2.0
#include "agent/config/ip_masq_agent.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "agent/config/config_tree.h"
#include "agent/config/values.h"
#include "maps/base/ipv6_text.h"

namespace podlane {
namespace {

// As Go's encoding/json tells keys apart, of ASCII.
bool same_key(std::string_view one, std::string_view other) {
    const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
    return std::ranges::equal(one, other, {}, lower, lower);
}

std::vector<Ipv4Prefix> private_networks() {
    return {Ipv4Prefix::masked(Ipv4Address::from_host(0x0a000000), 8),
            Ipv4Prefix::masked(Ipv4Address::from_host(0xac100000), 12),
            Ipv4Prefix::masked(Ipv4Address::from_host(0xc0a80000), 16)};
}

ValueHandler networks_into(std::vector<Ipv4Prefix>& target) {
    return [&target](const ConfigValue& value) -> Result<void> {
        target.clear();
        if (value.node.is_null()) {
            return {};
        }
        return read_elements(value, [&target](const ConfigValue& element) -> Result<void> {
            const auto text = text_of(element);
            if (!text) {
                return std::unexpected(text.error());
            }
            if (is_ipv6_prefix(*text)) {
                return {};
            }
            const auto prefix = Ipv4Prefix::parse(*text);
            if (!prefix) {
                return element.refuse("{}", prefix.error().message);
            }
            target.push_back(*prefix);
            return {};
        });
    };
}

}  // namespace

Result<IpMasqAgentConfig> parse_ip_masq_agent(std::string_view text, std::string_view name) {
    const auto tree = read_config_tree(text, name);
    if (!tree) {
        return std::unexpected(tree.error());
    }
    IpMasqAgentConfig config{.non_masquerade_cidrs = private_networks()};
    if (*tree == nullptr || (*tree)->is_null()) {
        return config;
    }
    if ((*tree)->type != ConfigNode::Type::map) {
        return fail("{}:{}: must be an object (key: value)", name, (*tree)->line);
    }
    const auto flag = flag_into(config.masq_link_local);
    const std::array<KnownKey, 2> known{{
        {"nonMasqueradeCIDRs", networks_into(config.non_masquerade_cidrs)},
        {"masqLinkLocal",
         [&flag](const ConfigValue& value) { return value.node.is_null() ? Result<void>() : flag(value); }},
    }};
    for (const auto& member : (*tree)->members) {
        const auto handled =
            std::ranges::find_if(known, [&](const KnownKey& one) { return same_key(one.key, member.key); });
        if (handled == known.end()) {
            continue;
        }
        if (auto stored = handled->handler({name, member.key, *member.value}); !stored) {
            return std::unexpected(stored.error());
        }
    }
    return config;
}

}  // namespace podlane
