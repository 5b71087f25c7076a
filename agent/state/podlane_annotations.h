// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/state/objects.h"
#include "maps/base/address.h"

namespace podlane {

// What a podlane node says of its VTEP in its own annotations:
//
//   podlane.io/vtep-mac: "02:50:c0:a8:00:01"
//   podlane.io/vtep-ip: "192.168.0.1"          the address that this was said of
//
// Without them a VTEP's MAC is derived from the InternalIP (agent/link/host_network.h), which is wrong for a node that
// took over flannel's. The address tells when they are from before the node was renumbered.
inline constexpr std::string_view vtep_mac_annotation = "podlane.io/vtep-mac";
inline constexpr std::string_view vtep_ip_annotation = "podlane.io/vtep-ip";

struct StatedVtep {
    std::optional<MacAddress> mac;  // nothing: none, a bad one, or one that was said of another address
    std::string problem;            // of the MAC; empty: none
};
[[nodiscard]] StatedVtep read_stated_vtep(const Annotations& annotations, Ipv4Address internal_ip);

[[nodiscard]] Annotations make_vtep_annotations(Ipv4Address address, const MacAddress& mac);

}  // namespace podlane
