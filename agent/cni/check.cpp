// SPDX-License-Identifier: Apache-2.0
#include <fmt/ranges.h>

#include "agent/cni/commands.h"

namespace podlane::cni {
namespace {

using Differences = std::vector<std::string>;

Outcome<void> compare_with_agent(const Endpoint& expected, Agent& agent, Differences& found) {
    if (expected.ip.is_unspecified()) {
        return {};  // never recorded
    }
    const auto known = agent.endpoint(expected.id());
    if (!known) {
        return std::unexpected(known.error());
    }
    if (!*known) {
        found.push_back(fmt::format("podlane-agent does not know endpoint {}", expected.id()));
        return {};
    }
    const auto compare = [&](const char* what, const auto& theirs, const auto& ours) {
        if (theirs != ours) {
            found.push_back(fmt::format("podlane-agent has {} {} for it, not {}", what, theirs, ours));
        }
    };
    compare("address", (*known)->ip, expected.ip);
    compare("MAC", (*known)->mac, expected.mac);
    compare("host interface", (*known)->host_interface, expected.host_interface);
    return {};
}

// What the result does not tell of a macvlan: the configuration does, or, of an adopted one, the record.
void complete(Endpoint& expected, const NetworkConfig& config, Agent& agent) {
    expected.mtu_fixed = config.mtu != 0;
    if (expected.link != "macvlan") {
        return;
    }
    const auto known = agent.endpoint(expected.id());
    const Endpoint record = known && *known ? **known : Endpoint();
    const bool own = config.link == LinkKind::macvlan;
    expected.master = own && !config.macvlan.master.empty() ? config.macvlan.master : record.master;
    expected.mode = own ? config.macvlan.mode : record.mode;
    expected.mtu = expected.mtu_fixed ? config.mtu : expected.mtu != 0 ? expected.mtu : record.mtu;
}

Outcome<Attachment> expected_attachment(const Invocation& invocation, const NetworkConfig& config, Agent& agent) {
    const bool macvlan = config.link == LinkKind::macvlan || is_adopted(invocation, config);
    auto expected =
        attachment_from_result(*config.prev_result, {invocation.container_id, invocation.if_name, invocation.netns},
                               macvlan ? LinkKind::macvlan : LinkKind::veth);
    if (!expected) {
        return expected;
    }
    if (expected->endpoint.ip.is_unspecified() && !config.ipam_type.empty()) {
        return refuse(Code::invalid_config, "prevResult has no address of interface {}", invocation.if_name);
    }
    complete(expected->endpoint, config, agent);
    return expected;
}

constexpr bool is_status_code(unsigned code) {
    constexpr unsigned limited_connectivity = 51;
    return code == static_cast<unsigned>(Code::not_available) || code == limited_connectivity;
}

}  // namespace

Outcome<void> check(const Invocation& invocation, const NetworkConfig& config, Ports ports) {
    if (!config.prev_result) {
        return refuse(Code::invalid_config, "CHECK needs prevResult, not set");
    }
    const auto expected = expected_attachment(invocation, config, ports.agent);
    if (!expected) {
        return std::unexpected(expected.error());
    }
    auto found = ports.links.differences(*expected);
    if (!found) {
        return refuse_because(Code::not_as_expected, found.error());
    }
    if (const auto compared = compare_with_agent(expected->endpoint, ports.agent, *found); !compared) {
        if (found->empty()) {
            return compared;  // with its own code: an agent that is away comes back
        }
        found->push_back(compared.error().message);
    }
    if (!found->empty()) {
        return refuse(Code::not_as_expected, "{}", fmt::join(*found, "; "));
    }
    return ports.ipam.check({invocation.container_id, invocation.if_name, invocation.netns});
}

Outcome<void> status(Ports ports) {
    if (const auto network = ports.agent.network(); !network) {
        return refuse(Code::not_available, "{}", network.error().message);
    }
    const auto ipam = ports.ipam.status();
    if (!ipam && !is_status_code(ipam.error().code)) {
        return refuse(Code::not_available, "{}", ipam.error().message);
    }
    return ipam;
}

}  // namespace podlane::cni
