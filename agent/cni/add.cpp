// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
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

Outcome<Ground> survey(const Invocation& invocation, const NetworkConfig& config, Ports ports) {
    const auto network = ports.agent.network();
    if (!network) {
        return std::unexpected(network.error());
    }
    Ground ground{.network = *network};
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
    const auto others = ports.links.ways_of_others(invocation.netns, invocation.if_name);
    if (!others) {
        return refuse_because(Code::attachment_failed, others.error());
    }
    ground.ways_of_others = *others;
    return ground;
}

std::function<Outcome<void>()> removal_of(const Endpoint& endpoint, Ports ports) {
    return [ports, endpoint] {
        const auto removed = ports.links.remove(endpoint);
        return removed ? Outcome<void>() : refuse_because(Code::attachment_failed, removed.error());
    };
}

// A macvlan is there before its address is: a DHCP client asks for it through the device.
Outcome<void> prepare_link(const Attachment& draft, Ports ports, Rollback& rollback) {
    if (draft.endpoint.link != "macvlan") {
        return {};
    }
    if (const auto prepared = ports.links.prepare(draft); !prepared) {
        return refuse_because(Code::attachment_failed, prepared.error());
    }
    rollback.then(removal_of(draft.endpoint, ports));
    return {};
}

Outcome<void> create_link(const Attachment& attachment, Ports ports, Rollback& rollback) {
    if (const auto created = ports.links.create(attachment); !created) {
        return refuse_because(Code::attachment_failed, created.error());
    }
    if (attachment.endpoint.link != "macvlan") {
        rollback.then(removal_of(attachment.endpoint, ports));
    }
    return {};
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

// What ADD makes, the address first obtained.
Outcome<Attachment> attach(Attachment drafted, const Ground& ground, Ports ports, Rollback& rollback) {
    if (const auto prepared = prepare_link(drafted, ports, rollback); !prepared) {
        return std::unexpected(prepared.error());
    }
    const AttachmentKey who{drafted.endpoint.container_id, drafted.endpoint.if_name, drafted.endpoint.netns};
    rollback.then(
        [ports, who] { return ports.ipam.remove(who); });  // also after a failed ADD: specification, section 4
    const auto address = obtain_address(who, ground.network, ports);
    if (!address) {
        return std::unexpected(address.error());
    }
    auto attachment = plan(std::move(drafted), ground, *address);
    if (!attachment) {
        return attachment;
    }
    auto done = create_link(*attachment, ports, rollback);
    if (done) {
        done = record(attachment->endpoint, ports, rollback);
    }
    return done ? attachment : std::unexpected(done.error());
}

}  // namespace

Outcome<nlohmann::json> add(const Invocation& invocation, const NetworkConfig& config, Ports ports) {
    if (config.prev_result && has_interface(*config.prev_result, invocation.if_name, invocation.netns)) {
        return adopt(invocation, config, ports);
    }
    if (auto checked = check_sandbox(invocation, ports.links); !checked) {
        return std::unexpected(checked.error());
    }
    const auto ground = survey(invocation, config, ports);
    auto drafted = ground ? draft(invocation, config, *ground) : Outcome<Attachment>(std::unexpected(ground.error()));
    if (!drafted) {
        return std::unexpected(drafted.error());
    }
    Rollback rollback;
    const auto attachment = attach(std::move(*drafted), *ground, ports, rollback);
    if (!attachment) {
        return std::unexpected(attachment.error());
    }
    rollback.dismiss();
    return make_result(*attachment, config.prev_result ? &*config.prev_result : nullptr, config.version);
}

}  // namespace podlane::cni
