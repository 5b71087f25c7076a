// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/commands.h"
#include "agent/cni/plan.h"
#include "agent/cni/rollback.h"

namespace podlane::cni {
namespace {

// What prevResult and the kernel say together. Its routes are those that are there already.
Outcome<Attachment> find_adopted(const Invocation& invocation, const NetworkConfig& config, Links& links) {
    const auto link = links.adoptable(invocation.netns, invocation.if_name);
    if (!link) {
        return std::unexpected(link.error());
    }
    auto attachment = attachment_from_result(
        *config.prev_result, {invocation.container_id, invocation.if_name, invocation.netns}, LinkKind::macvlan);
    if (!attachment) {
        return attachment;
    }
    const Endpoint told = attachment->endpoint;
    if (!told.ip.is_unicast()) {
        return refuse(Code::invalid_config, "prevResult has no IPv4 address of interface {}", invocation.if_name);
    }
    auto& endpoint = attachment->endpoint;
    endpoint = make_endpoint(invocation, config);
    endpoint.link = "macvlan";
    endpoint.master = link->master;
    endpoint.mode = link->mode;
    endpoint.ip = told.ip;
    endpoint.gateway = told.gateway;
    endpoint.mac = link->mac;
    endpoint.mtu = link->mtu;
    return attachment;
}

Outcome<std::vector<Route>> missing_routes(const Attachment& attachment, const NodeNetwork& network, Links& links) {
    const auto others = links.ways_of_others(attachment.endpoint.netns, attachment.endpoint.if_name);
    if (!others) {
        return refuse_because(Code::attachment_failed, others.error());
    }
    return routes_through_host(attachment, {.network = network, .ways_of_others = *others});
}

}  // namespace

bool is_adopted(const Invocation& invocation, const NetworkConfig& config) {
    const AttachmentKey who{invocation.container_id, invocation.if_name, invocation.netns};
    return config.link == LinkKind::veth && config.prev_result &&
           has_interface(*config.prev_result, who.if_name, who.netns) && !has_host_side(*config.prev_result, who);
}

Outcome<nlohmann::json> adopt(const Invocation& invocation, const NetworkConfig& config, Ports ports) {
    if (config.ipam) {
        return refuse(Code::invalid_config, "ipam: prevResult holds {} already, with an address of its own",
                      invocation.if_name);
    }
    const auto network = ports.agent.network();
    auto attachment =
        network ? find_adopted(invocation, config, ports.links) : Outcome<Attachment>(std::unexpected(network.error()));
    auto missing = attachment ? missing_routes(*attachment, *network, ports.links)
                              : Outcome<std::vector<Route>>(std::unexpected(attachment.error()));
    if (!missing) {
        return std::unexpected(missing.error());
    }
    attachment->routes = std::move(*missing);
    const auto& endpoint = attachment->endpoint;
    if (const auto added = ports.links.add_routes(*attachment); !added) {
        return refuse_because(Code::attachment_failed, added.error());
    }
    Rollback rollback;
    rollback.then([ports, attachment = *attachment] {
        const auto removed = ports.links.remove_routes(attachment);
        return removed ? Outcome<void>() : refuse_because(Code::attachment_failed, removed.error());
    });
    rollback.then([ports, id = endpoint.id()] { return ports.agent.remove_endpoint(id); });
    if (const auto recorded = ports.agent.add_endpoint(endpoint); !recorded) {
        return std::unexpected(recorded.error());
    }
    rollback.dismiss();
    return with_routes(*config.prev_result, attachment->routes, config.version);
}

}  // namespace podlane::cni
