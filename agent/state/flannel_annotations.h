// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/state/objects.h"
#include "maps/base/address.h"

namespace podlane {

// What a node published for flannel's peers, as far as it is usable (flannel, pkg/subnet/kube).
struct FlannelAnnotations {
    struct Problem {
        std::string annotation;  // "flannel.alpha.coreos.com/backend-data"
        std::string message;
    };

    std::optional<MacAddress> vtep_mac;
    std::optional<Ipv4Address> public_ip;  // public-ip-overwrite where that is set
    std::vector<Problem> problems;
};

// Everything is empty for a node that flannel's peers ignore: one without kube-subnet-manager "true".
[[nodiscard]] FlannelAnnotations read_flannel_annotations(const Annotations& annotations, std::uint32_t vni);

// What a node's VTEP is, for flannel's peers.
struct FlannelVtep {
    Ipv4Address address;  // that the node encapsulates with
    MacAddress mac;
    std::uint32_t vni = 1;
};
// What such a node publishes, byte for byte as flannel would. Of what the node has (`present`) a public-ip-overwrite
// goes before the address, if it is a good one; it is not among the result.
[[nodiscard]] Annotations make_flannel_annotations(const FlannelVtep& vtep, const Annotations& present);
// {"VNI":1,"VtepMAC":"0e:61:06:ff:7a:73"}: compact, and in this order, for flannel finds its own MAC after a restart by
// splitting the text.
[[nodiscard]] std::string flannel_backend_data(std::optional<std::uint32_t> vni, const MacAddress& vtep_mac);

}  // namespace podlane
