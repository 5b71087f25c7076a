// SPDX-License-Identifier: Apache-2.0
#include <linux/rtnetlink.h>

#include <algorithm>
#include <optional>

#include <fmt/ranges.h>

#include "agent/doctor/checks.h"

namespace podlane::doctor {
namespace {

using netlink::Route;

// The route that the whole of `destination` takes, but for what narrower routes take of it.
const Route* route_to(const std::vector<Route>& routes, const Ipv4Prefix& destination) {
    const Route* best = nullptr;
    for (const auto& route : routes) {
        const bool better = best == nullptr || route.destination.length() > best->destination.length() ||
                            (route.destination == best->destination && route.metric < best->metric);
        if (route.table == RT_TABLE_MAIN && route.destination.contains(destination) && better) {
            best = &route;
        }
    }
    return best;
}

std::string describe(const Route* route) {
    if (route == nullptr) {
        return "no route";
    }
    const auto to = route->destination.length() == 0 ? "default" : route->destination.to_string();
    return route->gateway ? fmt::format("{} via {}", to, *route->gateway) : fmt::format("{} without a gateway", to);
}

std::string name_of(const Endpoint& pod) {
    return pod.name.empty() ? pod.ip.to_string() : fmt::format("{}/{} ({})", pod.name_space, pod.name, pod.ip);
}

std::optional<Finding> check_pod(const PodRoutes& pod) {
    std::vector<std::string> missing;
    std::vector<std::string> commands;
    std::vector<std::string> seen;
    std::vector<std::string> keys;
    for (const auto& wanted : pod.wanted) {
        const auto* route = route_to(pod.routes, wanted);
        if (route != nullptr && route->gateway == pod.host_address) {
            continue;
        }
        missing.push_back(wanted.to_string());
        seen.push_back(fmt::format("{} goes by {}", wanted, describe(route)));
        commands.push_back(
            fmt::format("nsenter --net={} ip route replace {} via {}", pod.pod.netns, wanted, pod.host_address));
        keys.push_back(fmt::format(R"({{"dst":"{}","gw":"{}"}})", wanted, pod.host_address));
    }
    if (missing.empty()) {
        return std::nullopt;
    }
    return Finding{.id = "pod-routes",
                   .what = fmt::format("packets of macvlan pod {} to {} do not go through its host, so it reaches no "
                                       "Services or pods there",
                                       name_of(pod.pod), fmt::join(missing, ", ")),
                   .evidence = fmt::format("in {}: {}", pod.pod.netns, fmt::join(seen, "; ")),
                   .mend = fmt::format("{}  # for pods to come: serviceCIDRs of the agent's configuration, or "
                                       "\"routes\":[{}] in the CNI configuration's ipam",
                                       fmt::join(commands, " && "), fmt::join(keys, ","))};
}

}  // namespace

std::vector<Finding> check_pod_routes(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& pod : facts.pod_routes) {
        if (auto finding = check_pod(pod)) {
            findings.push_back(std::move(*finding));
        }
    }
    return findings;
}

}  // namespace podlane::doctor
