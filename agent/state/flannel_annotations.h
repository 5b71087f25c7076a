// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
[[nodiscard]] FlannelAnnotations read_flannel_annotations(const std::map<std::string, std::string>& annotations,
                                                          std::uint32_t vni);

}  // namespace podlane
