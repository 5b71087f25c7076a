// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/link_overlay.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/link/ownership.h"

namespace podlane {
namespace {

std::string description(const WantedOverlayDevice& wanted) {
    return fmt::format("vxlan external dstport {} address {} mtu {} noarp {}", wanted.port, wanted.mac, wanted.mtu,
                       wanted.gate == DeviceGate::open ? "up" : "down");
}

netlink::ExternalVxlan device_request(const WantedOverlayDevice& wanted, const LinkTable& links) {
    return {.name = wanted.name,
            .port = wanted.port,
            .mac = wanted.mac,
            .mtu = wanted.mtu,
            .ifindex = links.by_index(wanted.ifindex) == nullptr ? wanted.ifindex : 0};
}

// Who keeps the overlay device from its UDP port. Only a device that is up has its socket open (EADDRINUSE); of two
// external ones the kernel refuses the second from the start (EEXIST).
std::string port_holder(int code, const WantedOverlayDevice& wanted, const LinkTable& links) {
    std::vector<std::string> names;
    for (const auto* link : links.vxlan_on_port(wanted.port)) {
        const bool holds = code == EADDRINUSE ? link->is_up() : link->vxlan->external;
        if (holds && link->name != wanted.name) {
            names.push_back(link->name);
        }
    }
    if (!names.empty()) {
        return fmt::format("; UDP port {} is held by VXLAN device {}", wanted.port, fmt::join(names, ", "));
    }
    if (code == EADDRINUSE) {
        return fmt::format("; UDP port {} is held by a process, or by a VXLAN device that moved to another namespace",
                           wanted.port);
    }
    return {};
}

// The requests about one device.
class Requests {
public:
    Requests(netlink::Socket& socket, const WantedOverlayDevice& wanted, const LinkTable& links, LinkReport& report)
        : socket_(socket), wanted_(wanted), links_(links), report_(report) {}

    // In two steps: a device that could not come up is not made again and again, with events that ask for more.
    void create() {
        if (!execute(netlink::create_external_vxlan(device_request(wanted_, links_)))) {
            return;
        }
        const auto link = netlink::find_link(socket_, wanted_.name);
        if (!link) {
            report_.errors.push_back(link.error());
        } else if (*link) {
            change(**link, plan_overlay(wanted_, &**link).change);
        }
    }

    void change(const netlink::Link& link, const netlink::LinkChange& change) {
        execute(netlink::change_link(link, change));
    }

    void recreate(const netlink::Link& link) {
        if (execute(netlink::delete_link(link))) {
            create();
        }
    }

    void refuse(const netlink::Link& link) {
        report_.errors.push_back(fail("device {}: it is there, but it is not podlane's ({}); remove it, or set "
                                      "overlay.device to another name",
                                      wanted_.name, describe(link))
                                     .error());
    }

private:
    bool execute(netlink::Message request) {
        const auto label = request.label();
        const auto done = socket_.execute(std::move(request));
        if (done) {
            report_.changes.push_back(label);
            return true;
        }
        auto error = done.error();
        if (error.code == EADDRINUSE || error.code == EEXIST) {
            error.message += port_holder(error.code, wanted_, links_);
        }
        report_.errors.push_back(std::move(error));
        return false;
    }

    netlink::Socket& socket_;
    const WantedOverlayDevice& wanted_;
    const LinkTable& links_;
    LinkReport& report_;
};

}  // namespace

bool is_own_overlay(const netlink::Link& link) {
    return link.vxlan && (link.vxlan->external || link.alias == overlay_alias);
}

OverlayPlan plan_overlay(const WantedOverlayDevice& wanted, const netlink::Link* actual) {
    if (actual == nullptr) {
        return {.action = OverlayAction::create, .change = {}};
    }
    if (!is_own_overlay(*actual)) {
        return {.action = OverlayAction::refuse, .change = {}};
    }
    if (!actual->vxlan->external || actual->vxlan->port != wanted.port || actual->vxlan->learning) {
        return {.action = OverlayAction::recreate, .change = {}};
    }
    netlink::LinkChange change;
    if (!actual->is_up() && wanted.gate == DeviceGate::open) {
        change.state = netlink::AdminState::up;
    }
    if (!actual->is_no_arp()) {
        change.arp = netlink::ArpUse::off;
    }
    if (actual->mtu != wanted.mtu) {
        change.mtu = wanted.mtu;
    }
    if (actual->mac != wanted.mac) {
        change.mac = wanted.mac;
    }
    if (actual->alias != overlay_alias) {
        change.alias = overlay_alias;
    }
    return {.action = change.empty() ? OverlayAction::none : OverlayAction::change, .change = change};
}

LinkItem overlay_item(const WantedOverlayDevice& wanted, const netlink::Link* actual) {
    LinkItem item{.kind = "device", .name = wanted.name, .wanted = description(wanted), .actual = {}, .state = {}};
    switch (plan_overlay(wanted, actual).action) {
        case OverlayAction::none:
            item.state = LinkState::ok;
            break;
        case OverlayAction::create:
            item.state = LinkState::missing;
            break;
        case OverlayAction::change:
        case OverlayAction::recreate:
        case OverlayAction::refuse:
            item.state = LinkState::wrong;
            break;
    }
    if (actual != nullptr) {
        item.actual = describe(*actual);
    }
    return item;
}

namespace {

// True when the devices are others than before.
bool carry_out(const OverlayPlan& plan, const netlink::Link* actual, Requests& requests) {
    switch (plan.action) {
        case OverlayAction::none:
            return false;
        case OverlayAction::create:
            requests.create();
            return true;
        case OverlayAction::change:
            requests.change(*actual, plan.change);
            return true;
        case OverlayAction::recreate:
            requests.recreate(*actual);
            return true;
        case OverlayAction::refuse:
            requests.refuse(*actual);
            return false;
    }
    return false;
}

}  // namespace

Result<void> remove_stale_overlays(netlink::Socket& socket, const std::string& wanted_name, LinkTable& links,
                                   LinkReport& report) {
    const auto stale = links.own_overlays(wanted_name);
    for (const auto* link : stale) {
        auto request = netlink::delete_link(*link);
        const auto label = request.label();
        if (const auto done = socket.execute(std::move(request)); !done) {
            report.errors.push_back(done.error());
        } else {
            report.changes.push_back(label);
        }
    }
    if (!stale.empty()) {
        auto now = LinkTable::read(socket);
        if (!now) {
            return std::unexpected(now.error());
        }
        links = std::move(*now);
    }
    return {};
}

Result<void> ensure_overlay(netlink::Socket& socket, const WantedOverlayDevice& wanted, LinkTable& links,
                            LinkReport& report) {
    const auto* actual = links.by_name(wanted.name);
    Requests requests(socket, wanted, links, report);
    if (carry_out(plan_overlay(wanted, actual), actual, requests)) {
        auto now = LinkTable::read(socket);
        if (!now) {
            return std::unexpected(now.error());
        }
        links = std::move(*now);
    }
    const auto* link = links.by_name(wanted.name);
    const bool own = link != nullptr && is_own_overlay(*link);
    const bool up = own && link->is_up();
    report.overlay_ifindex = up || (own && wanted.gate == DeviceGate::closed) ? link->ifindex : 0;
    if (!up) {
        links.forget(wanted.name);
    }
    return {};
}

}  // namespace podlane
