// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

// How a kernel object is known to be podlane's, after a restart with nothing but the kernel to ask.
namespace podlane {

// Every route of podlane carries this protocol number, and no other route is ever touched. 80 is named in no
// rt_protos of iproute2 and below RTPROT_BGP (186), where the well-known routing daemons start.
inline constexpr std::uint8_t route_protocol = 80;

// What the aliases of podlane's own devices begin with; those of pods' links are their endpoints
// (agent/cni/endpoint.h).
inline constexpr std::string_view alias_prefix = "podlane ";

// Alias of the overlay device. A VXLAN device of its name that is neither external nor has this alias is not ours.
inline constexpr std::string_view overlay_alias = "podlane overlay";

// Alias of a macvlan shim begins so, and ends with the network's name.
inline constexpr std::string_view shim_alias = "podlane shim ";

// Metric of the unreachable route to a clusterCIDR: the highest there is, so that any other route of that very
// prefix wins.
inline constexpr std::uint32_t unreachable_metric = 0xffffffff;

}  // namespace podlane
