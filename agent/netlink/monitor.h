// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <variant>

#include "agent/netlink/interface_address.h"
#include "agent/netlink/link.h"
#include "agent/netlink/multicast_socket.h"
#include "agent/netlink/neighbour.h"
#include "agent/netlink/route.h"
#include "maps/base/result.h"

namespace podlane::netlink {

enum class Change { present, gone };  // present: new or changed

struct LinkEvent {
    Change change;
    Link link;
};
struct AddressEvent {
    Change change;
    InterfaceAddress address;
};
// When a device goes down the kernel drops its routes without a word: a LinkEvent is all there is then.
struct RouteEvent {
    Change change;
    Route route;
};
struct NeighbourEvent {
    Change change;
    Neighbour neighbour;
};
// Forwarding or rp_filter of a device was changed, in /proc/sys for one. Not sent for a new device: LinkEvent is.
struct SettingsEvent {
    std::int32_t ifindex;  // or NETCONFA_IFINDEX_ALL, NETCONFA_IFINDEX_DEFAULT
};
// Events were lost: whoever follows them has to read everything anew.
struct Overrun {};

using Event = std::variant<LinkEvent, AddressEvent, RouteEvent, NeighbourEvent, SettingsEvent, Overrun>;

// The kernel's account of changes to IPv4 networking in the namespace it was opened in.
class Monitor {
public:
    [[nodiscard]] static Result<Monitor> open();

    // Non-blocking; readable when there are events. Owned by the monitor.
    [[nodiscard]] int fd() const { return socket_.fd(); }
    // Reports the events that are there, a few hundred at most, so that a flood does not hold up the event loop;
    // the descriptor stays readable while there are more. An error is one of the socket itself.
    [[nodiscard]] Result<void> drain(const std::function<void(const Event&)>& report);

private:
    explicit Monitor(MulticastSocket socket) : socket_(std::move(socket)) {}

    MulticastSocket socket_;
};

// One multicast message as an event; nothing when it is none of ours (IPv6, bridge ports).
[[nodiscard]] std::optional<Event> decode_event(const nlmsghdr& message);

}  // namespace podlane::netlink
