// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/link_shim.h"

#include <linux/if_link.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "agent/link/ownership.h"
#include "agent/reconcile/host_move.h"

namespace podlane {
namespace {

// The kernel would take the device below it.
bool is_macvlan(const netlink::Link& link) {
    return link.kind == "macvlan" || link.kind == "macvtap";
}

std::string alias_of(const WantedShim& wanted) {
    return fmt::format("{}{}{}", shim_alias, wanted.network, wanted.place == HostPlace::shim ? host_on_shim : "");
}

std::string description(const WantedShim& wanted) {
    return fmt::format("macvlan bridge on {} address {} mtu {} {}", wanted.master, wanted.mac, wanted.mtu,
                       wanted.gate == DeviceGate::open ? "up" : "down");
}

std::string describe_shim(const netlink::Link& link, const LinkTable& links) {
    auto text = describe(link);
    if (link.macvlan_mode) {
        text = fmt::format("macvlan{} on {}{}", *link.macvlan_mode == MACVLAN_MODE_BRIDGE ? " bridge" : "",
                           links.name_of(link.link), text.substr(link.kind.size()));
    }
    return text;
}

// The requests about one shim.
class ShimRequests {
public:
    ShimRequests(netlink::Socket& socket, const WantedShim& wanted, const netlink::Link* master, LinkReport& report)
        : socket_(socket), wanted_(wanted), master_(master), report_(report) {}

    // True when the devices are others than before.
    bool carry_out(const ShimPlan& plan, const netlink::Link* actual) {
        switch (plan.action) {
            case ShimAction::none:
                return false;
            case ShimAction::create:
                create();
                return true;
            case ShimAction::change:
                execute(netlink::change_link(*actual, plan.change));
                return true;
            case ShimAction::recreate:
                if (execute(netlink::delete_link(*actual))) {
                    create();
                }
                return true;
            case ShimAction::refuse:
                refuse(actual);
                return false;
        }
        return false;
    }

private:
    // Down whatever the gate: no program can be attached to a device that was not there.
    void create() {
        if (!execute(netlink::create_bridge_macvlan(
                {.name = wanted_.name, .lower = master_->ifindex, .mac = wanted_.mac, .mtu = wanted_.mtu}))) {
            return;
        }
        const auto link = netlink::find_link(socket_, wanted_.name);
        if (!link) {
            report_.shim_errors.push_back(link.error());
        } else if (*link) {
            auto closed = wanted_;
            closed.gate = DeviceGate::closed;
            execute(netlink::change_link(**link, plan_shim(closed, &**link, master_).change));
        }
    }

    void refuse(const netlink::Link* actual) {
        std::string reason = fmt::format("its master {} is not there", wanted_.master);
        if (master_ != nullptr && is_macvlan(*master_)) {
            reason = fmt::format("its master {} is a macvlan itself; the device that it is on can be the master",
                                 wanted_.master);
        } else if (master_ != nullptr) {
            reason = fmt::format(
                "a device of that name is there, but it is not podlane's ({}); remove it, or give the shim another "
                "name",
                describe(*actual));
        }
        report_.shim_errors.push_back(fail("shim {}: {}", wanted_.name, reason).error());
    }

    bool execute(netlink::Message request) {
        const auto label = request.label();
        const auto done = socket_.execute(std::move(request));
        if (!done) {
            auto error = done.error();
            if (error.code == EBUSY || error.code == EINVAL) {
                error.message +=
                    fmt::format("; is {} a port of a bridge or bond, or taken by a passthru macvlan?", wanted_.master);
            }
            report_.shim_errors.push_back(std::move(error));
            return false;
        }
        report_.changes.push_back(label);
        return true;
    }

    netlink::Socket& socket_;
    const WantedShim& wanted_;
    const netlink::Link* master_;
    LinkReport& report_;
};

// Whether the shim would be as wanted, had it stayed as the last pass left it: what is done about it is a repair then.
bool was_in_order(const WantedShim& wanted, const std::map<std::string, netlink::Link>& settled,
                  const netlink::Link* master) {
    const auto before = settled.find(wanted.name);
    if (before == settled.end()) {
        return false;
    }
    auto as_before = before->second;
    if (master != nullptr) {
        as_before.link = master->ifindex;  // one that came back has another number
    }
    auto open = wanted;
    open.gate = DeviceGate::closed;
    return plan_shim(open, &as_before, master).action == ShimAction::none;
}

// A shim goes with all that is on it: what is the host's goes back first.
bool return_host(netlink::Socket& socket, const netlink::Link& shim, const LinkTable& links, LinkReport& report) {
    if (!may_carry_host(shim.alias)) {
        return true;
    }
    const auto moved = move_host(socket, ends_back(shim, links));
    if (!moved) {
        report.shim_errors.push_back(fail_within(fmt::format("shim {} stays", shim.name), moved.error()).error());
        return false;
    }
    for (const auto address : *moved) {
        report.changes.push_back(fmt::format("move {} from {} to {}", address, shim.name, links.name_of(shim.link)));
    }
    if (!moved->empty()) {
        report.returned.push_back({.ifindex = shim.link, .addresses = *moved});
    }
    return true;
}

bool remove_stale(netlink::Socket& socket, const std::vector<WantedShim>& wanted, const LinkTable& links,
                  LinkReport& report) {
    bool changed = false;
    for (const auto* link : links.own_shims()) {
        if (std::ranges::find(wanted, link->name, &WantedShim::name) != wanted.end() ||
            !return_host(socket, *link, links, report)) {
            continue;
        }
        auto request = netlink::delete_link(*link);
        const auto label = request.label();
        if (const auto done = socket.execute(std::move(request)); !done) {
            report.shim_errors.push_back(done.error());
        } else {
            report.changes.push_back(label);
            changed = true;
        }
    }
    return changed;
}

Result<void> read_again(netlink::Socket& socket, LinkTable& links) {
    auto now = LinkTable::read(socket);
    if (!now) {
        return std::unexpected(now.error());
    }
    links = std::move(*now);
    return {};
}

}  // namespace

MoveEnds ends_back(const netlink::Link& shim, const LinkTable& links) {
    return {.from = {.ifindex = shim.ifindex, .name = shim.name},
            .to = {.ifindex = shim.link, .name = links.name_of(shim.link)}};
}

bool is_own_shim(const WantedShim& wanted, const netlink::Link& link) {
    return link.kind == "macvlan" && (link.alias.starts_with(shim_alias) || link.mac == wanted.mac);
}

ShimPlan plan_shim(const WantedShim& wanted, const netlink::Link* actual, const netlink::Link* master) {
    if (master == nullptr || is_macvlan(*master)) {
        return {.action = ShimAction::refuse};
    }
    if (actual == nullptr) {
        return {.action = ShimAction::create};
    }
    if (!is_own_shim(wanted, *actual)) {
        return {.action = ShimAction::refuse};
    }
    if (actual->link != master->ifindex || actual->link_netnsid || actual->macvlan_mode != MACVLAN_MODE_BRIDGE) {
        return {.action = ShimAction::recreate};
    }
    netlink::LinkChange change;
    if (!actual->is_up() && wanted.gate == DeviceGate::open) {
        change.state = netlink::AdminState::up;
    }
    if (actual->is_no_arp()) {
        change.arp = netlink::ArpUse::on;
    }
    if (actual->mtu != wanted.mtu) {
        change.mtu = wanted.mtu;
    }
    if (actual->mac != wanted.mac) {
        change.mac = wanted.mac;
    }
    if (actual->alias != alias_of(wanted)) {
        change.alias = alias_of(wanted);
    }
    return {.action = change.empty() ? ShimAction::none : ShimAction::change, .change = change};
}

LinkItem shim_item(const WantedShim& wanted, const LinkTable& links) {
    const auto* actual = links.by_name(wanted.name);
    LinkItem item{.kind = "device", .name = wanted.name, .wanted = description(wanted), .actual = {}, .state = {}};
    if (actual == nullptr) {
        item.state = LinkState::missing;
        return item;
    }
    const auto plan = plan_shim(wanted, actual, links.by_name(wanted.master));
    item.state = plan.action == ShimAction::none ? LinkState::ok : LinkState::wrong;
    item.actual = describe_shim(*actual, links);
    return item;
}

Result<void> ensure_shims(netlink::Socket& socket, const ShimTask& task, LinkTable& links, LinkReport& report) {
    bool changed = task.sweep == Sweep::remove && remove_stale(socket, task.wanted, links, report);
    for (const auto& shim : task.wanted) {
        const auto* master = links.by_name(shim.master);
        const auto* actual = links.by_name(shim.name);
        const auto before = report.changes.size();
        ShimRequests requests(socket, shim, master, report);
        const auto plan = plan_shim(shim, actual, master);
        if (plan.action != ShimAction::recreate || return_host(socket, *actual, links, report)) {
            changed = requests.carry_out(plan, actual) || changed;
        }
        if (was_in_order(shim, task.settled, master)) {
            std::copy(report.changes.begin() + static_cast<std::ptrdiff_t>(before), report.changes.end(),
                      std::back_inserter(report.repairs));
        }
    }
    if (changed) {
        if (auto read = read_again(socket, links); !read) {
            return read;
        }
    }
    for (const auto& shim : task.wanted) {
        const auto* link = links.by_name(shim.name);
        if (link == nullptr || !is_own_shim(shim, *link) || !link->is_up()) {
            links.forget(shim.name);
        }
    }
    return {};
}

}  // namespace podlane
