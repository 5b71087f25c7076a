// SPDX-License-Identifier: Apache-2.0
#include "agent/node/cleanup.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "agent/cni/endpoint.h"
#include "agent/ctl/http_server.h"
#include "agent/netfilter/patience.h"
#include "agent/netlink/link.h"
#include "agent/node/host_announcement.h"
#include "agent/reconcile/forward_reconciler.h"
#include "loader/attach.h"
#include "loader/bpffs.h"
#include "loader/guard_link.h"

namespace podlane {
namespace {

// Holds the control socket, as a running agent does.
Result<Fd> take_control(const std::filesystem::path& run_dir) {
    std::error_code error;
    if (!std::filesystem::is_directory(run_dir, error)) {
        return Fd();
    }
    auto socket = listen_unix(run_dir / "agent.sock");
    if (!socket && socket.error().code == EADDRINUSE) {
        return fail("an agent runs with {}: stop it first", run_dir.string());
    }
    return socket;
}

// Pods' host sides, by their aliases: the records may be lost.
std::set<std::string> pod_devices(const std::vector<netlink::Link>& links) {
    std::set<std::string> devices;
    for (const auto& link : links) {
        if (link.kind == "veth" && decode_alias(link.alias)) {
            devices.insert(link.name);
        }
    }
    return devices;
}

// Lines about what was removed, or is there to be.
using Lines = std::vector<std::string>;

Result<void> remove_filters(const std::vector<netlink::Link>& links, const PinDirectory& pins, CleanupMode mode,
                            Lines& lines) {
    const Attacher attacher(pins, AttachMethod::clsact);
    for (const auto& filter : Attacher::filters()) {
        const auto link = std::ranges::find(links, filter.ifindex, &netlink::Link::ifindex);
        lines.push_back(fmt::format("filter {} {}", link == links.end() ? std::to_string(filter.ifindex) : link->name,
                                    to_string(filter.hook)));
        if (mode == CleanupMode::dry_run) {
            continue;
        }
        if (auto detached = attacher.detach(filter); !detached) {
            return detached;
        }
    }
    return {};
}

// Links are detached one by one: they would end some time after their pins.
Result<void> remove_pins(const PinDirectory& pins, CleanupMode mode, Lines& lines) {
    for (const auto& pin : pins.pins()) {
        lines.push_back(fmt::format("pin {}", pin.string()));
    }
    if (mode == CleanupMode::dry_run) {
        return {};
    }
    const GuardLinks guards(pins);
    for (const auto ifindex : guards.pinned()) {
        if (auto detached = guards.detach(ifindex); !detached) {
            return detached;
        }
    }
    const Attacher attacher(pins, AttachMethod::tcx);
    for (const auto& attachment : attacher.pinned()) {
        if (auto detached = attacher.detach(attachment); !detached) {
            return detached;
        }
    }
    return pins.remove();
}

Result<void> remove_host_network(netlink::Socket& socket, const CleanupTarget& target, std::set<std::string> devices,
                                 CleanupMode mode, Lines& lines) {
    LinkReconciler reconciler(socket, SysctlRecord((target.run_dir / "sysctls.json").string()));
    const auto report =
        reconciler.cleanup({.overlay_device = target.overlay_device, .pod_devices = std::move(devices)}, mode);
    if (!report) {
        return std::unexpected(report.error());
    }
    std::ranges::copy(report->removed, std::back_inserter(lines));
    for (const auto& host : report->returned) {
        if (auto told = announce_host(socket, host); !told) {
            return told;
        }
    }
    return report->errors.empty() ? Result<void>() : std::unexpected(report->errors.front());
}

Result<void> remove_rules(CleanupMode mode, Lines& lines) {
    auto reconciler = ForwardReconciler::create();
    if (!reconciler) {
        return std::unexpected(reconciler.error());
    }
    return netfilter::with_patience([&]() -> Result<void> {
        const auto report = reconciler->cleanup(mode);
        std::ranges::copy(report.removed, std::back_inserter(lines));
        return report.errors.empty() ? Result<void>() : std::unexpected(report.errors.front());
    });
}

// One round over everything that podlane owns; what fails keeps nothing else from being removed. Returns the first
// error.
Result<void> go_over(const CleanupTarget& target, CleanupMode mode, Lines& lines) {
    auto socket = netlink::Socket::open();
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto links = netlink::list_links(*socket);
    if (!links) {
        return std::unexpected(links.error());
    }
    const PinDirectory pins(target.bpffs);
    // The devices first: without the programs at their hooks the overlay device passes what it gets, and a shim answers
    // for the host on the LAN.
    for (auto& removed :
         {remove_host_network(*socket, target, pod_devices(*links), mode, lines),
          remove_filters(*links, pins, mode, lines), remove_pins(pins, mode, lines), remove_rules(mode, lines)}) {
        if (!removed) {
            return removed;
        }
    }
    return {};
}

// Looks again: a removal that the kernel took is no proof.
Result<void> prove_that_nothing_remains(const CleanupTarget& target) {
    Lines remaining;
    if (auto looked = go_over(target, CleanupMode::dry_run, remaining); !looked) {
        return looked;
    }
    for (const auto& line : remaining) {
        fmt::print("remains: {}\n", line);
    }
    if (!remaining.empty()) {
        return fail("{} objects of podlane's remain", remaining.size());
    }
    fmt::print("remains: nothing\n");
    return {};
}

}  // namespace

Result<void> clean_up(const CleanupTarget& target, CleanupMode mode) {
    const auto control = take_control(target.run_dir);
    if (!control) {
        return std::unexpected(control.error());
    }
    // What goes along with something else (a device's filters, its routes) is named all the same: by a look before.
    Lines lines;
    auto removed = go_over(target, CleanupMode::dry_run, lines);
    if (removed && mode == CleanupMode::remove) {
        Lines done;
        removed = go_over(target, mode, done);
        if (!removed) {
            lines = std::move(done);
        }
    }
    for (const auto& line : lines) {
        fmt::print("{}\n", line);
    }
    if (removed && mode == CleanupMode::remove) {
        removed = prove_that_nothing_remains(target);
    }
    if (control->valid()) {
        unlink((target.run_dir / "agent.sock").c_str());
    }
    return removed;
}

}  // namespace podlane
