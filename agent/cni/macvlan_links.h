// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/cni/ends.h"

// A macvlan device in the sandbox on a master of the host. The host has no side of it. See Links for what each of
// these promises.
namespace podlane::cni {

[[nodiscard]] Result<void> create_macvlan(Ends& ends, const Attachment& attachment);
[[nodiscard]] Result<void> configure_macvlan(Ends& ends, const Attachment& attachment);
[[nodiscard]] Result<Differences> compare_macvlan(Ends& ends, const Attachment& expected);

// By the MAC that follows from the attachment, by the alias where a MAC was asked for or is the master's, or, of one
// that was never finished, by its name.
[[nodiscard]] bool is_our_macvlan(const LinkInfo& link, const Endpoint& endpoint);

// The host's device that a macvlan of the sandbox hangs on; empty where it is one of another namespace.
[[nodiscard]] Result<std::optional<LinkInfo>> master_on_host(Ends& ends, const LinkInfo& macvlan);

// Where a route of that destination is there already, that one stays: what the user has comes first.
[[nodiscard]] Result<void> add_macvlan_routes(RtSocket& inside, const LinkInfo& link, const Attachment& attachment);

}  // namespace podlane::cni
