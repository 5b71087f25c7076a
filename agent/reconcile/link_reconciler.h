// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/link/host_network.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/socket.h"
#include "agent/reconcile/link_actual.h"
#include "agent/reconcile/sysctl_record.h"
#include "maps/base/result.h"

namespace podlane {

// What to do with objects of podlane's that nobody wants.
enum class Sweep {
    keep,    // the sources have not been read completely yet: what looks stale may only be unknown
    remove,  // the sources are in sync
};

// Addresses that are on another device than before: the LAN must be told.
struct ReturnedHost {
    std::uint32_t ifindex = 0;
    std::vector<Ipv4Address> addresses;
};

// What one pass did.
struct LinkReport {
    std::vector<std::string> changes;    // "add route 10.244.2.0/24 dev podlane0 src 10.0.0.1"
    std::vector<std::string> repairs;    // those of the changes that only undo what somebody else did
    std::vector<Error> errors;           // one per object; everything else was still brought in order
    std::vector<Error> shim_errors;      // about macvlan shims as devices; what is to be placed on them is above
    std::vector<ReturnedHost> returned;  // from shims that were removed, to their masters
    std::uint32_t overlay_ifindex = 0;   // 0: no overlay device that is podlane's, and up unless its gate is closed
};

enum class LinkState { ok, missing, wrong };
[[nodiscard]] std::string_view to_string(LinkState state);

// One line of `agentctl link list`.
struct LinkItem {
    std::string kind;  // device | address | route | neighbour | sysctl | rule
    std::string name;
    std::string wanted;  // empty: nobody wants it, it is stale
    std::string actual;  // empty: it is not there
    LinkState state = LinkState::ok;

    bool operator==(const LinkItem&) const = default;
};

enum class CleanupMode { dry_run, remove };

struct CleanupScope {
    std::string overlay_device;         // name, from the configuration
    std::set<std::string> pod_devices;  // host sides of pods, from the endpoint records
};

struct CleanupReport {
    std::vector<std::string> removed;  // or, in a dry run, what would be
    std::vector<ReturnedHost> returned{};
    std::vector<Error> errors;
};

// What a pass left behind, in the kernel's terms.
struct SettledNetwork {
    std::optional<netlink::Link> overlay{};
    std::map<std::string, netlink::Link> shims{};  // by name
    HostObjects objects{};
    std::map<std::string, std::string> sysctls{};  // value by key
};

// Makes the kernel's IPv4 networking match what is wanted, in the namespace of `socket`, which must be the calling
// thread's (sysctls are). Reads everything first and applies differences only.
//
// Its own, and all that it ever changes or removes: routes with podlane's protocol number; the VXLAN device of the
// wanted name if it is external or has podlane's alias, and that device's IPv4 addresses; VXLAN devices of other names
// that have podlane's alias; macvlans with the alias of a shim, and their IPv4 addresses; permanent neighbours on these
// devices and on the pods' host interfaces; the wanted sysctls.
class LinkReconciler {
public:
    // The socket must outlive the reconciler.
    LinkReconciler(netlink::Socket& socket, SysctlRecord record) : socket_(socket), record_(std::move(record)) {}

    // An error means that the kernel's state could not be read: nothing was changed. Objects that could not be
    // changed are in the report.
    [[nodiscard]] Result<LinkReport> reconcile(const WantedHostNetwork& wanted, Sweep sweep);
    // The part of a pass that no netlink event asks for: settings that the kernel changes without a word.
    [[nodiscard]] LinkReport reconcile_sysctls(const WantedHostNetwork& wanted);
    // The host's settings as they were before podlane.
    [[nodiscard]] SysctlRecord& record() { return record_; }
    // Wanted against actual; changes nothing.
    [[nodiscard]] Result<std::vector<LinkItem>> inspect(const WantedHostNetwork& wanted);
    // Removes what podlane owns in this namespace and puts recorded sysctls back. Pods' devices stay. Works without
    // an agent; one that runs would make it all anew.
    [[nodiscard]] Result<CleanupReport> cleanup(const CleanupScope& scope, CleanupMode mode);

private:
    netlink::Socket& socket_;
    SysctlRecord record_;
    std::optional<SettledNetwork> settled_;  // nothing before the first pass: then nothing is a repair
};

// Whether an event may have put the kernel at odds with `wanted`, so that a pass is due. Says no to the many events
// that cannot (ARP of the underlay, other daemons' routes).
[[nodiscard]] bool may_disturb(const netlink::Event& event, const WantedHostNetwork& wanted,
                               std::uint32_t overlay_ifindex);

}  // namespace podlane
