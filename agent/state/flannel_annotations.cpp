// SPDX-License-Identifier: Apache-2.0
#include "agent/state/flannel_annotations.h"

#include <nlohmann/json.hpp>

#include "agent/text/printable.h"

namespace podlane {
namespace {

// Made once: five thousand nodes are asked for each.
const std::string kube_subnet_manager = "flannel.alpha.coreos.com/kube-subnet-manager";
const std::string backend_type = "flannel.alpha.coreos.com/backend-type";
const std::string backend_data = "flannel.alpha.coreos.com/backend-data";
const std::string public_ip = "flannel.alpha.coreos.com/public-ip";
const std::string public_ip_overwrite = "flannel.alpha.coreos.com/public-ip-overwrite";

// Empty when it is not there.
std::string_view value_of(const Annotations& annotations, const std::string& name) {
    const auto found = annotations.find(name);
    return found == annotations.end() ? std::string_view() : std::string_view(found->second);
}

// {"VNI":1,"VtepMAC":"0e:61:06:ff:7a:73"}; older nodes write no VNI.
void read_backend_data(std::string_view text, std::uint32_t vni, FlannelAnnotations& result) {
    const auto complain = [&](std::string message) { result.problems.push_back({backend_data, std::move(message)}); };
    const auto data = nlohmann::json::parse(text, nullptr, false);
    if (!data.is_object()) {
        return complain(fmt::format("\"{}\" is not a JSON object", printable(text)));
    }
    const auto mac_text = data.find("VtepMAC");
    if (mac_text == data.end() || !mac_text->is_string()) {
        return complain("has no VtepMAC");
    }
    const auto mac = MacAddress::parse(mac_text->get_ref<const std::string&>());
    if (!mac) {
        return complain(printable(mac.error().message));
    }
    if (!mac->is_unicast()) {
        return complain(fmt::format("VtepMAC {} is not a unicast address", *mac));
    }
    result.vtep_mac = *mac;
    const auto their_vni = data.find("VNI");
    if (their_vni != data.end() && *their_vni != vni) {
        complain(fmt::format("VNI {} is not the overlay's ({}): the node cannot be reached",
                             printable(their_vni->dump()), vni));
    }
}

void read_public_ip(const Annotations& annotations, FlannelAnnotations& result) {
    const std::string& name = value_of(annotations, public_ip_overwrite).empty() ? public_ip : public_ip_overwrite;
    const auto text = value_of(annotations, name);
    if (text.empty()) {
        return;
    }
    const auto address = Ipv4Address::parse(text);
    if (!address || !address->is_unicast()) {
        result.problems.push_back({name, fmt::format("\"{}\" is not an IPv4 unicast address", printable(text))});
        return;
    }
    result.public_ip = *address;
}

constexpr std::string_view vxlan = "vxlan";

}  // namespace

FlannelAnnotations read_flannel_annotations(const Annotations& annotations, std::uint32_t vni) {
    FlannelAnnotations result;
    if (value_of(annotations, kube_subnet_manager) != "true") {
        return result;
    }
    const auto backend = value_of(annotations, backend_type);
    if (backend != vxlan) {
        result.problems.push_back(
            {backend_type, fmt::format("\"{}\" is not vxlan: the node takes no VXLAN", printable(backend))});
        return result;
    }
    read_backend_data(value_of(annotations, backend_data), vni, result);
    read_public_ip(annotations, result);
    return result;
}

std::string flannel_backend_data(std::optional<std::uint32_t> vni, const MacAddress& vtep_mac) {
    return vni ? fmt::format(R"({{"VNI":{},"VtepMAC":"{}"}})", *vni, vtep_mac)
               : fmt::format(R"({{"VtepMAC":"{}"}})", vtep_mac);
}

Annotations make_flannel_annotations(const FlannelVtep& vtep, const Annotations& present) {
    const auto overwrite = Ipv4Address::parse(value_of(present, public_ip_overwrite));
    const auto address = overwrite && overwrite->is_unicast() ? *overwrite : vtep.address;
    return {{kube_subnet_manager, "true"},
            {backend_type, std::string(vxlan)},
            {backend_data, flannel_backend_data(vtep.vni, vtep.mac)},
            {public_ip, address.to_string()}};
}

}  // namespace podlane
