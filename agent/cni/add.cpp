// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "agent/cni/commands.h"
#include "agent/cni/plan.h"
#include "agent/cni/rollback.h"

namespace podlane::cni {
namespace {

Outcome<void> check_sandbox(const Invocation& invocation, Links& links) {
    const auto exists = links.exists(invocation.netns, invocation.if_name);
    if (!exists && exists.error().code == ENOENT) {
        return refuse(Code::unknown_container, "CNI_NETNS: {}", exists.error().message);
    }
    if (!exists && exists.error().code == EINVAL) {
        return refuse(Code::invalid_environment, "CNI_NETNS: {}", exists.error().message);
    }
    if (!exists) {
        return refuse_because(Code::attachment_failed, exists.error());
    }
    if (*exists) {
        return refuse(Code::attachment_failed, "interface {} exists in {} already", invocation.if_name,
                      invocation.netns);
    }
    return {};
}

// A lost runDir takes host-local's store along while pods go on using their addresses. The agent knows those pods from
// the kernel's state: an address that one of them has is handed to that pod, and the next one asked for.
Outcome<IpamResult> obtain_address(const AttachmentKey& who, const NodeNetwork& network, Ports ports) {
    constexpr int max_attempts = 512;
    const auto endpoints = ports.agent.endpoints();
    if (!endpoints) {
        return std::unexpected(endpoints.error());
    }
    for (int attempt = 0; attempt < max_attempts; ++attempt) {
        auto result = ports.ipam.add(who, network.pod_cidrs);
        if (!result) {
            return result;
        }
        const auto holder = std::ranges::find_if(*endpoints, [&](const Endpoint& endpoint) {
            const bool own = endpoint.container_id == who.container_id && endpoint.if_name == who.if_name;
            return endpoint.ip == result->ip && !own;
        });
        if (holder == endpoints->end()) {
            return result;
        }
        auto moved = ports.ipam.remove(who);
        if (moved) {
            moved = ports.ipam.reserve({holder->container_id, holder->if_name, holder->netns}, network.pod_cidrs,
                                       result->ip);
        }
        if (!moved) {
            return std::unexpected(moved.error());
        }
    }
    return refuse(Code::attachment_failed, "no free address after {} attempts", max_attempts);
}

Outcome<Ground> survey(const NetworkConfig& config, Ports ports) {
    const auto network = ports.agent.network();
    if (!network) {
        return std::unexpected(network.error());
    }
    Ground ground{*network, std::nullopt};
    if (config.link == LinkKind::veth) {
        return ground;
    }
    const auto master = ports.links.master(config.macvlan.master);
    if (!master) {
        return std::unexpected(master.error());
    }
    if (config.mtu > master->mtu) {
        return refuse(Code::invalid_config, "mtu: {} is more than the {} of its master {}", config.mtu, master->mtu,
                      master->name);
    }
    ground.master = *master;
    return ground;
}

// One without an address has nothing that the agent could do for it.
Outcome<void> record(const Endpoint& endpoint, Ports ports, Rollback& rollback) {
    if (endpoint.ip.is_unspecified()) {
        return {};
    }
    // Before the attempt: after a time-out the agent may have done it all the same.
    rollback.then([ports, id = endpoint.id()] { return ports.agent.remove_endpoint(id); });
    return ports.agent.add_endpoint(endpoint);
}

}  // namespace

Outcome<nlohmann::json> add(const Invocation& invocation, const NetworkConfig& config, Ports ports) {
    if (config.prev_result && has_interface(*config.prev_result, invocation.if_name, invocation.netns)) {
        return adopt(invocation, config, ports);
    }
    if (auto checked = check_sandbox(invocation, ports.links); !checked) {
        return std::unexpected(checked.error());
    }
    const auto ground = survey(config, ports);
    if (!ground) {
        return std::unexpected(ground.error());
    }
    Rollback rollback;
    const AttachmentKey who{invocation.container_id, invocation.if_name, invocation.netns};
    rollback.then(
        [ports, who] { return ports.ipam.remove(who); });  // also after a failed ADD: specification, section 4
    auto address = obtain_address(who, ground->network, ports);
    if (!address) {
        return std::unexpected(address.error());
    }
    const auto attachment = plan(invocation, config, *ground, std::move(*address));
    if (!attachment) {
        return std::unexpected(attachment.error());
    }
    const auto& endpoint = attachment->endpoint;
    if (const auto created = ports.links.create(*attachment); !created) {
        return refuse_because(Code::attachment_failed, created.error());
    }
    rollback.then([ports, endpoint] {
        const auto removed = ports.links.remove(endpoint);
        return removed ? Outcome<void>() : refuse_because(Code::attachment_failed, removed.error());
    });
    if (const auto recorded = record(endpoint, ports, rollback); !recorded) {
        return std::unexpected(recorded.error());
    }
    rollback.dismiss();
    return make_result(*attachment, config.prev_result ? &*config.prev_result : nullptr, config.version);
}

}  // namespace podlane::cni
