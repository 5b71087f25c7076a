// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/links.h"

#include <nlohmann/json.hpp>

#include "test/net/harness/error.h"
#include "test/net/harness/process.h"

namespace podlane::net {

void connect_by_veth(const DeviceRef& one, const DeviceRef& other, unsigned mtu) {
    ip(one.ns, fmt::format("link add {} mtu {} type veth peer name {} mtu {} netns {}", one.name, mtu, other.name, mtu,
                           other.ns.name()));
    for (const DeviceRef* end : {&one, &other}) {
        set_sysctl(end->ns, fmt::format("net/ipv6/conf/{}/disable_ipv6", end->name), "1");
        ip(end->ns, fmt::format("link set {} up", end->name));
    }
}

MacAddress mac_of(const DeviceRef& device) {
    const auto shown = nlohmann::json::parse(ip(device.ns, fmt::format("-j link show {}", device.name)));
    const auto mac = MacAddress::parse(shown.at(0).at("address").get<std::string>());
    if (!mac) {
        raise_error("MAC of {}: {}", device.name, mac.error().message);
    }
    return *mac;
}

void set_mac(const DeviceRef& device, MacAddress mac) {
    ip(device.ns, fmt::format("link set {} address {}", device.name, mac));
}

void set_segmentation_offload(const DeviceRef& device, Offload offload) {
    const char* state = offload == Offload::on ? "on" : "off";
    must_run(device.ns, {"ethtool", "-K", device.name, "tso", state, "gso", state});
}

Offload offload_of(const DeviceRef& device, std::string_view feature) {
    const auto shown = must_run(device.ns, {"ethtool", "-k", device.name});
    const auto at = shown.find(fmt::format("\n{}: ", feature));
    if (at == std::string::npos) {
        raise_error("ethtool knows no {} of {}", feature, device.name);
    }
    return shown.compare(at + feature.size() + 3, 2, "on") == 0 ? Offload::on : Offload::off;
}

}  // namespace podlane::net
