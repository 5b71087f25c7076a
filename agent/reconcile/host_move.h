// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/netlink/link.h"
#include "agent/netlink/row.h"
#include "agent/netlink/socket.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

// Moves all that a host has of IPv4 on one device to another: from a macvlan network's master to its shim, or back.
// Nothing is recorded: whichever device has it, the other can have it again.
namespace podlane {

struct MoveEnd {
    std::uint32_t ifindex = 0;
    std::string name;
};

struct MoveEnds {
    MoveEnd from;
    MoveEnd to;
};

struct MoveStep {
    netlink::Message request;
    netlink::Message undo;
};

// In phases: all of one before the next begins. Addresses are on both devices for a moment and on neither at none, and
// a route is replaced in one step, so that no packet is without a way; the kernel drops the routes of a device with its
// last address, so addresses go last.
struct HostMove {
    std::vector<std::vector<MoveStep>> phases;
    std::vector<Ipv4Address> addresses;  // in the kernel's order, the primary one first

    [[nodiscard]] bool empty() const { return phases.empty(); }
};

// Pure. Nothing to do: empty. An error: there is something that cannot be moved (a route with several next hops by the
// device, one by a next hop object, one that has a twin on a third device, whose order would change).
[[nodiscard]] Result<HostMove> plan_host_move(const netlink::Rows& rows, const MoveEnds& ends);

// The gateway of the default route (of the main table, the lowest metric) by the device.
[[nodiscard]] std::optional<Ipv4Address> default_gateway(const netlink::Rows& rows, std::uint32_t ifindex);

// An error: everything that had been done is undone, but for what the message tells.
[[nodiscard]] Result<void> carry_out(netlink::Socket& socket, const HostMove& move);

// Reads, plans and carries out; the addresses that were moved.
[[nodiscard]] Result<std::vector<Ipv4Address>> move_host(netlink::Socket& socket, const MoveEnds& ends);

// The same from the master to a shim beside it, of which podlane's own address goes first. From its first step on the
// shim's alias says whose its addresses are; after an error it says what it said before.
[[nodiscard]] Result<std::vector<Ipv4Address>> move_host_to_shim(netlink::Socket& socket, const netlink::Link& shim,
                                                                 const MoveEnds& ends);

}  // namespace podlane
