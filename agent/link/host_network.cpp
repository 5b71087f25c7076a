// SPDX-License-Identifier: Apache-2.0
#include "agent/link/host_network.h"

#include <utility>

#include <fmt/format.h>

#include "agent/link/ownership.h"

namespace podlane {
namespace {

constexpr unsigned rp_filter_strict = 1;

WantedRoute overlay_route(const PeerPrefix& peer, const WantedOverlayDevice& overlay) {
    WantedRoute route{.destination = peer.pod_cidr, .device = overlay.name, .mtu = peer.mtu};
    if (!overlay.addresses.empty()) {
        route.source = overlay.addresses.front();
    }
    return route;
}

WantedRoute direct_route(const PeerPrefix& peer, std::optional<Ipv4Address> node_address) {
    return {.destination = peer.pod_cidr,
            .device = peer.direct->device,
            .gateway = peer.direct->gateway,
            .source = node_address,
            .mtu = peer.mtu};
}

WantedRoute unreachable_route(const Ipv4Prefix& cluster_cidr) {
    return {.destination = cluster_cidr, .kind = RouteKind::unreachable, .metric = unreachable_metric};
}

void add_pod(WantedHostNetwork& network, const LocalPod& pod, std::optional<Ipv4Address> node_address) {
    network.pod_devices.insert(pod.host_interface);
    network.routes.push_back(
        {.destination = Ipv4Prefix::masked(pod.ip, 32), .device = pod.host_interface, .source = node_address});
    network.neighbours.push_back({.device = pod.host_interface, .address = pod.ip, .mac = pod.mac});
}

void add_host_sysctl(WantedHostNetwork& network, std::string key, std::string_view value) {
    network.sysctls.push_back({.key = std::move(key), .value = std::string(value), .reach = SysctlReach::host});
}

// The stack has its way to the pods there, which is the bridge's route. What they lack is a way to pods beside the
// bridge: they take all of the podCIDR for their own link, and ask there by ARP. The host answers for what it routes
// elsewhere (proxy_arp), and at once: the kernel's default is a random delay of up to .8 s.
void add_pod_bridge(WantedHostNetwork& network, const std::string& bridge) {
    network.pod_bridging.insert(bridge);
    add_host_sysctl(network, fmt::format("net/ipv4/neigh/{}/proxy_delay", bridge), "0");
    add_host_sysctl(network, fmt::format("net/ipv4/conf/{}/proxy_arp", bridge), "1");
}

void add_device_sysctl(WantedHostNetwork& network, std::string_view family, std::string_view device,
                       std::string_view setting, std::string_view value) {
    network.sysctls.push_back({.key = fmt::format("net/{}/conf/{}/{}", family, device, setting),
                               .value = std::string(value),
                               .reach = SysctlReach::own_device});
}

// Packets from pods and peers reach the host by more than one device, so the way back is no proof of a forgery; the
// programs at tc have checked the source by then.
void add_forwarding(WantedHostNetwork& network, const std::string& device, unsigned all_rp_filter) {
    add_device_sysctl(network, "ipv4", device, "forwarding", "1");
    add_device_sysctl(network, "ipv4", device, "rp_filter", all_rp_filter == rp_filter_strict ? "2" : "0");
    // With reverse path filtering off this is what refuses packets that claim to be the host's own.
    add_device_sysctl(network, "ipv4", device, "accept_local", "0");
}

// The host's address on a LAN is the shim's, or about to be. Linux answers ARP for any of its addresses on any device:
// the LAN would see the master's MAC for it as well. And what a pod sends through the host to somebody else on the LAN
// leaves by the device that it came by: a redirect would have the pod send it there itself, past the host.
void add_host_on_shim(WantedHostNetwork& network, const WantedShim& device) {
    const auto add_of_host = [&](std::string_view where, std::string_view setting, std::string_view value) {
        add_host_sysctl(network, fmt::format("net/ipv4/conf/{}/{}", where, setting), value);
    };
    add_of_host(device.master, "arp_ignore", "1");
    add_of_host("all", "send_redirects", "0");  // the kernel sends them where either has 1
    add_device_sysctl(network, "ipv4", device.name, "send_redirects", "0");
}

// The shim is the host's NIC on that LAN.
void add_carrying_shim(WantedHostNetwork& network, const LocalShim& shim) {
    const auto& device = shim.device;
    add_device_sysctl(network, "ipv4", device.name, "forwarding", "1");
    if (shim.rp_filter) {
        add_device_sysctl(network, "ipv4", device.name, "rp_filter", *shim.rp_filter);
    }
    // Known by them where their records are lost.
    for (const auto& pod : shim.pods) {
        network.neighbours.push_back({.device = device.name, .address = pod.ip, .mac = pod.mac});
    }
}

// The connected route stays on the master: only what is for a pod of this node goes by the shim. No pod is asked for
// its MAC, and no neighbour on the LAN is asked by the shim at all.
void add_shim_beside_master(WantedHostNetwork& network, const LocalShim& shim, unsigned all_rp_filter) {
    const auto& device = shim.device;
    add_forwarding(network, device.name, all_rp_filter);
    if (!device.address) {
        return;
    }
    for (const auto& pod : shim.pods) {
        network.routes.push_back(
            {.destination = Ipv4Prefix::masked(pod.ip, 32), .device = device.name, .source = device.address});
        network.neighbours.push_back({.device = device.name, .address = pod.ip, .mac = pod.mac});
    }
}

void add_shim(WantedHostNetwork& network, const LocalShim& shim, unsigned all_rp_filter) {
    network.shims.push_back(shim.device);
    // IPv4 only, as the pods' side is; and before the device is up, or it would announce itself to the LAN.
    add_device_sysctl(network, "ipv6", shim.device.name, "disable_ipv6", "1");
    if (shim.may_move) {
        add_host_on_shim(network, shim.device);
    }
    if (shim.device.place == HostPlace::shim) {
        add_carrying_shim(network, shim);
    } else {
        add_shim_beside_master(network, shim, all_rp_filter);
    }
}

}  // namespace

WantedHostNetwork build_host_network(const HostNetworkInputs& inputs) {
    WantedHostNetwork network;
    network.overlay = inputs.overlay;
    // First, since it resets the devices' own forwarding.
    add_host_sysctl(network, "net/ipv4/ip_forward", "1");
    if (inputs.overlay) {
        for (const auto& peer : inputs.peers) {
            network.routes.push_back(peer.direct ? direct_route(peer, inputs.node_address)
                                                 : overlay_route(peer, *inputs.overlay));
        }
        add_forwarding(network, inputs.overlay->name, inputs.all_rp_filter);
        // The overlay carries IPv4 only: no link-local address, no router solicitations to nobody.
        add_device_sysctl(network, "ipv6", inputs.overlay->name, "disable_ipv6", "1");
    }
    for (const auto& cluster_cidr : inputs.cluster_cidrs) {
        network.routes.push_back(unreachable_route(cluster_cidr));
    }
    for (const auto& bridge : inputs.pod_bridges) {
        add_pod_bridge(network, bridge);
    }
    for (const auto& pod : inputs.pods) {
        if (pod.way == WayToPod::bridge) {
            network.pod_bridging.insert(pod.host_interface);
            continue;
        }
        add_pod(network, pod, inputs.node_address);
        add_forwarding(network, pod.host_interface, inputs.all_rp_filter);
    }
    for (const auto& shim : inputs.shims) {
        add_shim(network, shim, inputs.all_rp_filter);
    }
    return network;
}

MacAddress vtep_mac(Ipv4Address internal_ip) {
    const std::uint32_t address = internal_ip.host();
    const auto byte = [&](unsigned shift) { return static_cast<std::uint8_t>(address >> shift); };
    return MacAddress({0x02, 0x50, byte(24), byte(16), byte(8), byte(0)});
}

}  // namespace podlane
