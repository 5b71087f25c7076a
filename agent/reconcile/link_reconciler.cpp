// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/link_reconciler.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "agent/reconcile/link_actual.h"
#include "agent/reconcile/link_overlay.h"
#include "agent/reconcile/link_plan.h"
#include "agent/reconcile/link_shim.h"
#include "agent/reconcile/sysctl.h"

namespace podlane {
namespace {

// One pass over the kernel's state.
class Pass {
public:
    Pass(netlink::Socket& socket, SysctlRecord& record, const WantedHostNetwork& wanted)
        : socket_(socket), record_(record), wanted_(wanted) {}

    // `settled`: what the last pass left, and afterwards what this one does.
    Result<LinkReport> run(Sweep sweep, std::optional<SettledNetwork>& settled) {
        auto links = LinkTable::read(socket_);
        if (!links) {
            return std::unexpected(links.error());
        }
        if (wanted_.overlay) {
            if (const auto read = sweep == Sweep::remove
                                      ? remove_stale_overlays(socket_, wanted_.overlay->name, *links, report_)
                                      : Result<void>();
                !read) {
                return std::unexpected(read.error());
            }
            if (const auto read = ensure_overlay(socket_, *wanted_.overlay, *links, report_); !read) {
                return std::unexpected(read.error());
            }
            if (was_in_order(settled)) {
                report_.repairs = report_.changes;
            }
        }
        static const std::map<std::string, netlink::Link> none;
        const ShimTask shims{.wanted = wanted_.shims, .settled = settled ? settled->shims : none, .sweep = sweep};
        if (const auto read = ensure_shims(socket_, shims, *links, report_); !read) {
            return std::unexpected(read.error());
        }
        auto located = locate(wanted_, *links);
        const auto actual = read_objects(*links);
        if (!actual) {
            return std::unexpected(actual.error());
        }
        ensure_sysctls(settled);
        if (sweep == Sweep::remove) {
            put_back_sysctls();
        }
        note_problems(located);
        auto requests = plan_objects(located.objects, *actual, sweep, *links);
        const auto expected = requests.empty() || !settled
                                  ? std::optional<std::set<std::string>>()
                                  : subjects(plan_objects(located.objects, settled->objects, sweep, *links));
        apply(std::move(requests), *links, expected, located.objects);
        settle(settled, std::move(located.objects), *links);
        return std::move(report_);
    }

    LinkReport run_sysctls(const std::optional<SettledNetwork>& settled) {
        ensure_sysctls(settled);
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
            for (const auto* stale : links->own_overlays(wanted_.overlay->name)) {
                items.push_back(stale_item(*stale));
            }
            if (link != nullptr && !is_own_overlay(*link)) {
                links->forget(wanted_.overlay->name);
            }
        }
        inspect_shims(*links, items);
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
        OwnDevices devices;
        const auto add = [&](std::set<std::uint32_t>& to, const std::string& name) {
            if (const auto* link = links.by_name(name)) {
                to.insert(link->ifindex);
            }
        };
        if (wanted_.overlay) {
            add(devices.made, wanted_.overlay->name);
        }
        for (const auto& shim : wanted_.shims) {
            add(shim.place == HostPlace::shim ? devices.carriers : devices.made, shim.name);
        }
        for (const auto& name : wanted_.pod_devices) {
            add(devices.pods, name);
        }
        return read_host_objects(socket_, devices);
    }

    void inspect_shims(LinkTable& links, std::vector<LinkItem>& items) const {
        for (const auto* link : links.own_shims()) {
            if (!is_wanted_shim(link->name)) {
                items.push_back(stale_item(*link));
            }
        }
        for (const auto& shim : wanted_.shims) {
            items.push_back(shim_item(shim, links));
            const auto* link = links.by_name(shim.name);
            if (link != nullptr && !is_own_shim(shim, *link)) {
                links.forget(shim.name);
            }
        }
    }

    [[nodiscard]] bool is_wanted_shim(const std::string& name) const {
        return std::ranges::find(wanted_.shims, name, &WantedShim::name) != wanted_.shims.end();
    }

    static LinkItem stale_item(const netlink::Link& link) {
        return {.kind = "device", .name = link.name, .wanted = {}, .actual = describe(link), .state = LinkState::wrong};
    }

    // One line per missing device, not one per peer. That the overlay device or a shim is missing has been said, or it
    // waits for its gate.
    void note_problems(const WantedObjects& located) {
        for (const auto& device : located.missing_devices) {
            if ((!wanted_.overlay || device != wanted_.overlay->name) && !is_wanted_shim(device)) {
                report_.errors.push_back(fail("device {}: it is missing; what belongs on it waits", device).error());
            }
        }
        std::ranges::copy(located.collisions, std::back_inserter(report_.errors));
    }

    // Whether the overlay device would be as wanted, had it stayed as the last pass left it.
    bool was_in_order(const std::optional<SettledNetwork>& settled) const {
        return settled && settled->overlay &&
               plan_overlay(*wanted_.overlay, &*settled->overlay).action == OverlayAction::none;
    }

    // What a request is about, without its verb: "route 10.244.2.0/24 dev podlane0". An object that somebody removed
    // and that is wanted otherwise by now is added instead of changed.
    static std::string subject(const netlink::Message& request) {
        const auto& label = request.label();
        return label.substr(label.find(' ') + 1);
    }

    static std::set<std::string> subjects(const std::vector<netlink::Message>& requests) {
        std::set<std::string> result;
        for (const auto& request : requests) {
            result.insert(subject(request));
        }
        return result;
    }

    // What could not be put in order was not left in order: that it succeeds later is no repair.
    static void forget(const netlink::Message& failed, HostObjects& objects) {
        const auto& request = failed.raw();
        if (const auto route = netlink::decode_route(request)) {
            objects.routes.erase(key_of(*route));
        } else if (const auto neighbour = netlink::decode_neighbour(request)) {
            objects.neighbours.erase(key_of(*neighbour));
        } else if (const auto address = netlink::decode_address(request)) {
            objects.addresses.erase(key_of(*address));
        }
    }

    void settle(std::optional<SettledNetwork>& settled, HostObjects objects, const LinkTable& links) const {
        SettledNetwork now{.objects = std::move(objects)};
        if (const auto* overlay = wanted_.overlay ? links.by_name(wanted_.overlay->name) : nullptr) {
            now.overlay = *overlay;
        }
        for (const auto& shim : wanted_.shims) {
            if (const auto* link = links.by_name(shim.name)) {
                now.shims.emplace(shim.name, *link);
            }
        }
        for (const auto& sysctl : wanted_.sysctls) {
            now.sysctls.emplace(sysctl.key, sysctl.value);
        }
        settled = std::move(now);
    }

    // `expected`: what would be done about, had the kernel stayed as the last pass left it. All else is a repair.
    // `settled` loses what fails.
    void apply(std::vector<netlink::Message> requests, const LinkTable& links,
               const std::optional<std::set<std::string>>& expected, HostObjects& settled) {
        const auto results = socket_.execute(requests);
        std::optional<Result<std::vector<netlink::Route>>> all_routes;
        for (std::size_t index = 0; index < results.size(); ++index) {
            if (results[index]) {
                report_.changes.push_back(requests[index].label());
                if (expected && !expected->contains(subject(requests[index]))) {
                    report_.repairs.push_back(requests[index].label());
                }
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
            forget(requests[index], settled);
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

    void ensure_sysctls(const std::optional<SettledNetwork>& settled) {
        for (const auto& sysctl : wanted_.sysctls) {
            const auto changes = report_.changes.size();
            ensure_sysctl(sysctl);
            const bool changed = report_.changes.size() > changes;
            if (changed && settled && settled->sysctls.contains(sysctl.key) &&
                settled->sysctls.at(sysctl.key) == sysctl.value) {
                report_.repairs.push_back(report_.changes.back());
            }
        }
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

    // Settings of the host that nothing needs any more. One of a device that is gone went with it.
    void put_back_sysctls() {
        const auto recorded = record_.remembered();
        for (const auto& [key, value] : recorded) {
            if (std::ranges::find(wanted_.sysctls, key, &WantedSysctl::key) != wanted_.sysctls.end()) {
                continue;
            }
            const auto actual = read_sysctl(key);
            const bool is_gone = !actual && actual.error().code == ENOENT;
            const auto written = is_gone ? Result<void>() : write_sysctl(key, value);
            if (const auto forgotten = written ? record_.forget(key) : written; !forgotten) {
                report_.errors.push_back(forgotten.error());
            } else if (!is_gone) {
                report_.changes.push_back(fmt::format("set {} back to {}", key, value));
            }
        }
    }

    static LinkItem sysctl_item(const WantedSysctl& sysctl) {
        LinkItem item{.kind = "sysctl", .name = sysctl.key, .wanted = sysctl.value, .actual = {}, .state = {}};
        const auto actual = read_sysctl(sysctl.key);
        item.state = !actual ? LinkState::missing : *actual == sysctl.value ? LinkState::ok : LinkState::wrong;
        item.actual = actual.value_or("");
        return item;
    }

    netlink::Socket& socket_;
    SysctlRecord& record_;
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
    return Pass(socket_, record_, wanted).run(sweep, settled_);
}

LinkReport LinkReconciler::reconcile_sysctls(const WantedHostNetwork& wanted) {
    return Pass(socket_, record_, wanted).run_sysctls(settled_);
}

Result<std::vector<LinkItem>> LinkReconciler::inspect(const WantedHostNetwork& wanted) {
    return Pass(socket_, record_, wanted).inspect();
}

}  // namespace podlane
