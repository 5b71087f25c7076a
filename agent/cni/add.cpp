// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <functional>
#include <ranges>
#include <utility>
#include <vector>

#include "agent/cni/commands.h"

namespace podlane::cni {
namespace {

// What to undo, last first, unless all went well. Steps own what they need: they run when the function's other
// variables may be gone already.
class Rollback {
public:
    Rollback() = default;
    Rollback(const Rollback&) = delete;
    Rollback& operator=(const Rollback&) = delete;
    ~Rollback() {
        for (const auto& step : std::ranges::reverse_view(steps_)) {
            if (const auto undone = step(); !undone) {
                fmt::print(stderr, "podlane: while undoing ADD: {}\n", undone.error().message);
            }
        }
    }
    void then(std::function<Outcome<void>()> step) { steps_.push_back(std::move(step)); }
    void dismiss() { steps_.clear(); }

private:
    std::vector<std::function<Outcome<void>()>> steps_;
};

Outcome<void> check_sandbox(const Invocation& invocation, const NetworkConfig& config, Links& links) {
    if (config.prev_result && has_interface(*config.prev_result, invocation.if_name, invocation.netns)) {
        return refuse(Code::invalid_config,
                      "prevResult holds {} already; adopting an interface is not supported by this version of podlane",
                      invocation.if_name);
    }
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

// The IPAM plugin's, or the first address of the podCIDR, as host-local has it.
Outcome<Ipv4Address> choose_gateway(const IpamResult& address, const NodeNetwork& network) {
    std::optional<Ipv4Address> gateway = address.gateway;
    for (const auto& prefix : network.pod_cidrs) {
        if (!gateway && prefix.contains(address.ip)) {
            gateway = Ipv4Address::from_host(prefix.address().host() + 1);
        }
    }
    if (!gateway) {
        return refuse(Code::invalid_config, "the IPAM plugin assigned {} without a gateway", address.ip);
    }
    if (!address.ip.is_unicast() || !gateway->is_unicast() || *gateway == address.ip) {
        return refuse(Code::invalid_config, "the IPAM plugin assigned {} with gateway {}", address.ip, *gateway);
    }
    return *gateway;
}

std::string argument(const Invocation& invocation, const char* key) {
    const auto found = invocation.args.find(key);
    return found == invocation.args.end() ? std::string() : found->second;
}

Endpoint make_endpoint(const Invocation& invocation) {
    Endpoint endpoint;
    endpoint.container_id = invocation.container_id;
    endpoint.if_name = invocation.if_name;
    endpoint.netns = invocation.netns;
    endpoint.name_space = argument(invocation, "K8S_POD_NAMESPACE");
    endpoint.name = argument(invocation, "K8S_POD_NAME");
    endpoint.uid = argument(invocation, "K8S_POD_UID");
    endpoint.mac = derived_pod_mac(endpoint.container_id, endpoint.if_name);
    endpoint.host_interface = host_interface_name(endpoint.container_id, endpoint.if_name);
    endpoint.host_mac = derived_host_mac(endpoint.container_id, endpoint.if_name);
    return endpoint;
}

Outcome<Attachment> plan(const Invocation& invocation, const NetworkConfig& config, const NodeNetwork& network,
                         IpamResult address) {
    const auto gateway = choose_gateway(address, network);
    if (!gateway) {
        return std::unexpected(gateway.error());
    }
    Attachment attachment{make_endpoint(invocation), std::move(address.routes), {}};
    attachment.endpoint.network = config.name;
    attachment.endpoint.ip = address.ip;
    attachment.endpoint.gateway = *gateway;
    attachment.endpoint.mtu_fixed = config.mtu != 0;
    attachment.endpoint.mtu = attachment.endpoint.mtu_fixed ? config.mtu : network.mtu;
    attachment.dns = config.dns.is_null() ? address.dns : config.dns;
    const bool has_default =
        std::ranges::any_of(attachment.routes, [](const Route& route) { return route.destination.length() == 0; });
    if (!has_default) {
        Route default_route;
        default_route.gateway = *gateway;
        attachment.routes.push_back(default_route);
    }
    return attachment;
}

}  // namespace

Outcome<nlohmann::json> add(const Invocation& invocation, const NetworkConfig& config, Ports ports) {
    if (auto checked = check_sandbox(invocation, config, ports.links); !checked) {
        return std::unexpected(checked.error());
    }
    const auto network = ports.agent.network();
    if (!network) {
        return std::unexpected(network.error());
    }
    Rollback rollback;
    const AttachmentKey who{invocation.container_id, invocation.if_name, invocation.netns};
    rollback.then(
        [ports, who] { return ports.ipam.remove(who); });  // also after a failed ADD: specification, section 4
    auto address = obtain_address(who, *network, ports);
    if (!address) {
        return std::unexpected(address.error());
    }
    const auto attachment = plan(invocation, config, *network, std::move(*address));
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
    // Before the attempt: after a time-out the agent may have done it all the same.
    rollback.then([ports, id = endpoint.id()] { return ports.agent.remove_endpoint(id); });
    if (const auto added = ports.agent.add_endpoint(endpoint); !added) {
        return std::unexpected(added.error());
    }
    rollback.dismiss();
    return make_result(*attachment, config.prev_result ? &*config.prev_result : nullptr, config.version);
}

}  // namespace podlane::cni
