// SPDX-License-Identifier: Apache-2.0
#include "agent/state/podlane_annotations.h"

#include "agent/text/printable.h"

namespace podlane {
namespace {

// Made once: five thousand nodes are asked for each.
const std::string vtep_mac_name(vtep_mac_annotation);
const std::string vtep_ip_name(vtep_ip_annotation);

}  // namespace

StatedVtep read_stated_vtep(const Annotations& annotations, Ipv4Address internal_ip) {
    const auto text = annotations.find(vtep_mac_name);
    if (text == annotations.end()) {
        return {};
    }
    const auto mac = MacAddress::parse(text->second);
    if (!mac || !mac->is_unicast()) {
        return {.mac = {}, .problem = fmt::format("\"{}\" is not a unicast MAC address", printable(text->second))};
    }
    const auto said_of = annotations.find(vtep_ip_name);
    if (said_of != annotations.end() && said_of->second != internal_ip.to_string()) {
        return {};
    }
    return {.mac = *mac, .problem = {}};
}

Annotations make_vtep_annotations(Ipv4Address address, const MacAddress& mac) {
    return {{vtep_mac_name, mac.to_string()}, {vtep_ip_name, address.to_string()}};
}

}  // namespace podlane
