// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/link_reconciler.h"

#include <linux/rtnetlink.h>

#include <algorithm>

#include <fmt/format.h>

#include "agent/reconcile/link_actual.h"
#include "agent/reconcile/link_overlay.h"
#include "agent/reconcile/link_plan.h"
#include "agent/reconcile/sysctl.h"

namespace podlane {
namespace {

// One pass over the kernel's state.
class Pass {
public:
    Pass(netlink::Socket& socket, const SysctlRecord& record, const WantedHostNetwork& wanted)
        : socket_(socket), record_(record), wanted_(wanted) {}

    Result<LinkReport> run(Sweep sweep) {
        auto links = LinkTable::read(socket_);
        if (!links) {
            return std::unexpected(links.error());
        }
        if (wanted_.overlay) {
            if (const auto read = ensure_overlay(socket_, *wanted_.overlay, *links, report_); !read) {
                return std::unexpected(read.error());
            }
        }
        const auto located = locate(wanted_, *links);
        const auto actual = read_objects(*links);
        if (!actual) {
            return std::unexpected(actual.error());
        }
        for (const auto& sysctl : wanted_.sysctls) {
            ensure_sysctl(sysctl);
        }
        note_problems(located);
        apply(plan_objects(located.objects, *actual, sweep, *links), *links);
        return std::move(report_);
    }

    Result<std::vector<LinkItem>> inspect() {
        auto links = LinkTable::read(socket_);
        if (!links) {
            return std::unexpected(links.error());
        }
        std::vector<LinkItem> items;
        if (wanted_.overlay) {
            const auto* link = links->by_name(wanted_.overlay->name);
            items.push_back(overlay_item(*wanted_.overlay, link));
            if (link != nullptr && !is_own_overlay(*link)) {
                links->forget(wanted_.overlay->name);
            }
        }
        const auto located = locate(wanted_, *links);
        const auto actual = read_objects(*links);
        if (!actual) {
            return std::unexpected(actual.error());
        }
        std::ranges::copy(object_items(located.objects, *actual, *links), std::back_inserter(items));
        std::ranges::copy(located.waiting, std::back_inserter(items));
        for (const auto& sysctl : wanted_.sysctls) {
            items.push_back(sysctl_item(sysctl));
        }
        return items;
    }

private:
    Result<HostObjects> read_objects(const LinkTable& links) {
        const auto* overlay = wanted_.overlay ? links.by_name(wanted_.overlay->name) : nullptr;
        std::set<std::uint32_t> pod_devices;
        for (const auto& name : wanted_.pod_devices) {
            if (const auto* link = links.by_name(name)) {
                pod_devices.insert(link->ifindex);
            }
        }
        return read_host_objects(socket_, overlay == nullptr ? 0 : overlay->ifindex, pod_devices);
    }

    // One line per missing device, not one per peer. That the overlay device is missing has been said.
    void note_problems(const WantedObjects& located) {
        for (const auto& device : located.missing_devices) {
            if (!wanted_.overlay || device != wanted_.overlay->name) {
                report_.errors.push_back(fail("device {}: it is missing; what belongs on it waits", device).error());
            }
        }
        std::ranges::copy(located.collisions, std::back_inserter(report_.errors));
    }

    void apply(std::vector<netlink::Message> requests, const LinkTable& links) {
        const auto results = socket_.execute(requests);
        std::optional<Result<std::vector<netlink::Route>>> all_routes;
        for (std::size_t index = 0; index < results.size(); ++index) {
            if (results[index]) {
                report_.changes.push_back(requests[index].label());
                continue;
            }
            auto error = results[index].error();
            if (is_removal(requests[index]) && is_gone(error.code)) {
                continue;
            }
            if (error.code == EEXIST) {
                if (!all_routes) {
                    all_routes = netlink::list_routes(socket_, {});
                }
                error.message += route_in_the_way(requests[index], *all_routes, links);
            }
            report_.errors.push_back(std::move(error));
        }
    }

    static bool is_removal(const netlink::Message& request) {
        const auto type = request.raw().nlmsg_type;
        return type == RTM_DELROUTE || type == RTM_DELNEIGH || type == RTM_DELADDR;
    }

    // It went away by itself between reading and removing.
    static bool is_gone(int code) { return code == ESRCH || code == ENOENT || code == EADDRNOTAVAIL || code == ENODEV; }

    static std::string route_in_the_way(const netlink::Message& request,
                                        const Result<std::vector<netlink::Route>>& all_routes, const LinkTable& links) {
        const auto ours = netlink::decode_route(request.raw());
        if (!ours || !all_routes) {
            return {};
        }
        const auto other = std::ranges::find_if(
            *all_routes, [&](const netlink::Route& route) { return key_of(route) == key_of(*ours); });
        if (other == all_routes->end()) {
            return {};
        }
        return fmt::format("; in the way is a route that is not podlane's: {} proto {}", describe(*other, links),
                           other->protocol);
    }

    void ensure_sysctl(const WantedSysctl& sysctl) {
        const auto actual = read_sysctl(sysctl.key);
        if (!actual) {
            // The device's own absence is reported; IPv6 may be turned off altogether.
            if (actual.error().code != ENOENT || sysctl.reach == SysctlReach::host) {
                report_.errors.push_back(actual.error());
            }
            return;
        }
        if (*actual == sysctl.value) {
            return;
        }
        if (sysctl.reach == SysctlReach::host) {
            if (const auto kept = record_.keep(sysctl.key, *actual); !kept) {
                report_.errors.push_back(
                    fail_within(fmt::format("{} stays {}, its value cannot be recorded", sysctl.key, *actual),
                                kept.error())
                        .error());
                return;
            }
        }
        if (const auto written = write_sysctl(sysctl.key, sysctl.value); !written) {
            report_.errors.push_back(written.error());
            return;
        }
        report_.changes.push_back(fmt::format("set {} to {} (was {})", sysctl.key, sysctl.value, *actual));
    }

    static LinkItem sysctl_item(const WantedSysctl& sysctl) {
        LinkItem item{.kind = "sysctl", .name = sysctl.key, .wanted = sysctl.value, .actual = {}, .state = {}};
        const auto actual = read_sysctl(sysctl.key);
        item.state = !actual ? LinkState::missing : *actual == sysctl.value ? LinkState::ok : LinkState::wrong;
        item.actual = actual.value_or("");
        return item;
    }

    netlink::Socket& socket_;
    const SysctlRecord& record_;
    const WantedHostNetwork& wanted_;
    LinkReport report_;
};

}  // namespace

std::string_view to_string(LinkState state) {
    switch (state) {
        case LinkState::ok:
            return "ok";
        case LinkState::missing:
            return "missing";
        case LinkState::wrong:
            return "wrong";
    }
    return "";
}

Result<LinkReport> LinkReconciler::reconcile(const WantedHostNetwork& wanted, Sweep sweep) {
    return Pass(socket_, record_, wanted).run(sweep);
}

Result<std::vector<LinkItem>> LinkReconciler::inspect(const WantedHostNetwork& wanted) {
    return Pass(socket_, record_, wanted).inspect();
}

}  // namespace podlane
