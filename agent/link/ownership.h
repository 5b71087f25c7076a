// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

// How a kernel object is known to be podlane's, after a restart with nothing but the kernel to ask.
namespace podlane {

// Every route of podlane carries this protocol number, and no other route is ever touched, but for those of a host
// whose address moves. 80 is named in no rt_protos of iproute2 and below RTPROT_BGP (186), where the well-known routing
// daemons start. Permanent neighbours carry it as well: on a shim that carries the host's address it tells them from
// the host's.
inline constexpr std::uint8_t route_protocol = 80;

// What the aliases of podlane's own devices begin with; those of pods' links are their endpoints
// (agent/cni/endpoint.h).
inline constexpr std::string_view alias_prefix = "podlane ";

// Alias of the overlay device. A VXLAN device of its name that is neither external nor has this alias is not ours.
inline constexpr std::string_view overlay_alias = "podlane overlay";

// Alias of a macvlan shim begins so, followed by the network's name.
inline constexpr std::string_view shim_alias = "podlane shim ";
// And ends so while the host's addresses and routes are on the shim, or are being moved: what is on it is not podlane's
// then, and goes back to the master before the shim does.
inline constexpr std::string_view host_on_shim = " carries the host";

[[nodiscard]] constexpr bool may_carry_host(std::string_view alias) {
    return alias.starts_with(shim_alias) && alias.ends_with(host_on_shim);
}

// Metric of the unreachable route to a clusterCIDR: the highest there is, so that any other route of that very
// prefix wins.
inline constexpr std::uint32_t unreachable_metric = 0xffffffff;

}  // namespace podlane
