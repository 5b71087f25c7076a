// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <set>
#include <utility>

#include "agent/cni/commands.h"

namespace podlane::cni {
namespace {

// Keeps the first failure of several steps and mentions the others on standard error.
class FirstFailure {
public:
    void note(const Outcome<void>& outcome) {
        if (outcome) {
            return;
        }
        if (result_) {
            result_ = outcome;
        } else {
            fmt::print(stderr, "podlane: {}\n", outcome.error().message);
        }
    }
    [[nodiscard]] const Outcome<void>& result() const { return result_; }

private:
    Outcome<void> result_;
};

// Everything follows from the attachment's name, so this works without prevResult, record or agent.
Outcome<void> remove_attachment(const AttachmentKey& who, LinkKind link, Ports ports) {
    Endpoint endpoint;
    endpoint.container_id = who.container_id;
    endpoint.if_name = who.if_name;
    endpoint.netns = who.netns;
    endpoint.mac = derived_pod_mac(who.container_id, who.if_name);
    endpoint.host_interface = host_interface_name(who.container_id, who.if_name);

    FirstFailure failures;
    failures.note(ports.agent.remove_endpoint(endpoint.id()));
    // A DHCP client gives its lease back through the macvlan. Otherwise the address stays the container's for as long
    // as it can be used there.
    if (link == LinkKind::macvlan) {
        failures.note(ports.ipam.remove(who));
    }
    const auto removed = ports.links.remove(endpoint);
    failures.note(removed ? Outcome<void>() : refuse_because(Code::attachment_failed, removed.error()));
    if (link != LinkKind::macvlan) {
        failures.note(ports.ipam.remove(who));
    }
    return failures.result();
}

using AttachmentNames = std::set<std::pair<std::string, std::string>>;

}  // namespace

Outcome<void> remove(const Invocation& invocation, const NetworkConfig& config, Ports ports) {
    return remove_attachment({invocation.container_id, invocation.if_name, invocation.netns}, config.link, ports);
}

Outcome<void> collect_garbage(const NetworkConfig& config, Ports ports) {
    AttachmentNames handled;
    for (const auto& key : config.valid_attachments) {
        handled.emplace(key.container_id, key.if_name);
    }
    FirstFailure failures;
    const auto remove_if_stale = [&](const AttachmentKey& who) {
        if (handled.emplace(who.container_id, who.if_name).second) {
            failures.note(remove_attachment(who, config.link, ports));
        }
    };
    const auto endpoints = ports.agent.endpoints();
    failures.note(endpoints ? Outcome<void>() : std::unexpected(endpoints.error()));
    for (const auto& endpoint : endpoints.value_or(std::vector<Endpoint>())) {
        if (endpoint.network == config.name) {
            remove_if_stale({endpoint.container_id, endpoint.if_name, endpoint.netns});
        }
    }
    // Addresses whose ADD never came to an endpoint.
    for (const auto& who : ports.ipam.holders()) {
        remove_if_stale(who);
    }
    failures.note(ports.ipam.collect_garbage());
    return failures.result();
}

}  // namespace podlane::cni
