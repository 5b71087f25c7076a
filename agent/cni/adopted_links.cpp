// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/adopted_links.h"

#include "agent/cni/macvlan_links.h"
#include "agent/cni/macvlan_requests.h"

namespace podlane::cni {

Outcome<AdoptableLink> inspect_adoptable(Ends& ends, const std::string& if_name) {
    const auto link = require_link(ends.inside, if_name);
    if (!link) {
        return refuse_because(Code::invalid_config, link.error());
    }
    if (link->kind != "macvlan") {
        return refuse(Code::invalid_config,
                      "prevResult: interface {} is a {} device; of another plugin's podlane adopts macvlan only",
                      if_name, link->kind.empty() ? "plain" : link->kind);
    }
    const auto mode = macvlan_mode_name(link->macvlan_mode);
    if (mode.empty()) {
        return refuse(Code::invalid_config, "prevResult: interface {} is a macvlan in mode source", if_name);
    }
    const auto master = master_on_host(ends, *link);
    if (!master) {
        return refuse_because(Code::attachment_failed, master.error());
    }
    if (!*master) {
        return refuse(Code::invalid_config, "prevResult: the master of macvlan {} is no device of this host", if_name);
    }
    return AdoptableLink{(*master)->name, std::string(mode), link->mac, link->mtu};
}

Result<void> add_adopted_routes(Ends& ends, const Attachment& attachment) {
    const auto link = require_link(ends.inside, attachment.endpoint.if_name);
    if (!link) {
        return std::unexpected(link.error());
    }
    auto added = add_macvlan_routes(ends.inside, *link, attachment);
    if (!added) {
        if (const auto removed = remove_adopted_routes(ends, attachment); !removed) {
            return fail("{}; and afterwards: {}", added.error().message, removed.error().message);
        }
    }
    return added;
}

Result<void> remove_adopted_routes(Ends& ends, const Attachment& attachment) {
    const auto link = require_link(ends.inside, attachment.endpoint.if_name);
    if (!link) {
        return {};  // and with it its routes
    }
    for (const auto& route : attachment.routes) {
        auto removed = perform(ends.inside, delete_route_request(link->index, route),
                               fmt::format("remove route {}", route.destination));
        if (!removed && removed.error().code != ESRCH) {
            return removed;
        }
    }
    return {};
}

}  // namespace podlane::cni
