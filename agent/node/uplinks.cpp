// SPDX-License-Identifier: Apache-2.0
#include "agent/node/uplinks.h"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "agent/cni/endpoint.h"
#include "agent/link/ownership.h"

namespace podlane {
namespace {

constexpr std::string_view vrf_kind = "vrf";

bool is_loopback(const netlink::Link& link) {
    return (link.flags & IFF_LOOPBACK) != 0;
}

// By its alias a pod's link is known before its record is there, and after. A shim that carries the host is a NIC like
// any other.
bool is_podlanes(const netlink::Link& link) {
    return (link.alias.starts_with(alias_prefix) && !may_carry_host(link.alias)) ||
           (link.kind == "veth" && decode_alias(link.alias));
}

bool is_inner(const netlink::Link& link, const std::set<std::uint32_t>& own) {
    return own.contains(link.ifindex) || is_podlanes(link) || link.kind == vrf_kind;
}

using LinksByIndex = std::map<std::uint32_t, const netlink::Link*>;

// An unknown master is one that has just come: the device keeps its hook until more is known.
bool is_port(const netlink::Link& link, const LinksByIndex& links) {
    const auto master = link.master != 0 ? links.find(link.master) : links.end();
    return master != links.end() && master->second->kind != vrf_kind;
}

// Devices whose packets the kernel sends out of the one below as they are, through its egress hook. (A VLAN's have a
// tag there, by which the program knows them.)
bool stands_on_another(const netlink::Link& link) {
    constexpr std::array<std::string_view, 4> kinds = {"macvlan", "macvtap", "ipvlan", "ipvtap"};
    return !link.link_netnsid && std::ranges::find(kinds, link.kind) != kinds.end();
}

std::uint32_t flags_of(const Uplink& uplink) {
    const std::uint32_t shared = uplink.is_shared ? NAT_DEVICE_SHARED : 0;
    const std::uint32_t layer3 = uplink.ethernet ? 0 : NAT_DEVICE_L3;
    const std::uint32_t host_above = uplink.has_host_above ? NAT_DEVICE_HOST_ABOVE : 0;
    return shared | layer3 | host_above;
}

}  // namespace

std::map<std::uint32_t, Uplink> choose_uplinks(const std::vector<netlink::Link>& links,
                                               const std::set<std::uint32_t>& own) {
    LinksByIndex by_index;
    std::set<std::uint32_t> shared;
    std::map<std::uint32_t, const netlink::Link*> shims;  // by ifindex of the master
    for (const auto& link : links) {
        by_index.emplace(link.ifindex, &link);
        if (link.alias.starts_with(shim_alias)) {
            shims.emplace(link.link, &link);
        } else if (stands_on_another(link) && !is_inner(link, own)) {
            shared.insert(link.link);
        }
    }
    std::map<std::uint32_t, Uplink> chosen;
    for (const auto& link : links) {
        if (!is_loopback(link) && !is_port(link, by_index)) {
            const auto shim = shims.find(link.ifindex);
            const auto* above = shim == shims.end() ? nullptr : shim->second;
            chosen.emplace(link.ifindex,
                           Uplink{.name = link.name,
                                  .inner = is_inner(link, own),
                                  .ethernet = link.has_ethernet_header(),
                                  .is_shared = shared.contains(link.ifindex),
                                  .shim_mac = above == nullptr ? MacAddress() : above->mac.value_or(MacAddress()),
                                  .has_host_above = above != nullptr && may_carry_host(above->alias),
                                  .mtu = link.mtu});
        }
    }
    return chosen;
}

void Uplinks::choose(const std::vector<netlink::Link>& links, const std::set<std::uint32_t>& own,
                     const std::set<std::string>& macvlan_masters) {
    chosen_ = choose_uplinks(links, own);
    seen_.clear();
    for (const auto& link : links) {
        const auto mac = macvlan_masters.contains(link.name) ? link.mac : std::nullopt;
        seen_.emplace(link.ifindex, Seen{link.name, link.master, link.mtu, mac});
    }
}

bool Uplinks::concerns(const netlink::LinkEvent& event) const {
    if (seen_.empty()) {
        return false;
    }
    const auto& link = event.link;
    const auto seen = seen_.find(link.ifindex);
    if (event.change == netlink::Change::gone) {
        return seen != seen_.end();
    }
    if (seen == seen_.end()) {
        return !is_loopback(link) && !is_podlanes(link);
    }
    const auto mac = seen->second.mac ? link.mac : std::nullopt;
    return seen->second != Seen{link.name, link.master, link.mtu, mac};
}

Hook Uplinks::egress_hook(std::uint32_t ifindex) const {
    const auto chosen = chosen_.find(ifindex);
    return chosen == chosen_.end() || chosen->second.ethernet ? Hook::to_underlay : Hook::to_l3_uplink;
}

std::vector<WantedHook> Uplinks::hooks(const DeviceNames& peer_facing) const {
    std::vector<WantedHook> hooks;
    for (const auto& [ifindex, device] : peer_facing) {
        const bool l3 = egress_hook(ifindex) == Hook::to_l3_uplink;
        hooks.push_back({l3 ? Hook::from_l3_uplink : Hook::from_underlay, ifindex, device});
        hooks.push_back({egress_hook(ifindex), ifindex, device});
    }
    for (const auto& [ifindex, uplink] : chosen_) {
        if (!uplink.inner && !peer_facing.contains(ifindex)) {
            hooks.push_back({uplink.ethernet ? Hook::from_uplink : Hook::from_l3_uplink, ifindex, uplink.name});
            hooks.push_back({egress_hook(ifindex), ifindex, uplink.name});
        }
    }
    return hooks;
}

// The kernel lists a device's primary addresses first.
std::map<std::uint32_t, nat_device> Uplinks::devices(const UplinkAddresses& addresses, const DeviceNames& peer_facing,
                                                     const std::function<bool(Hook, std::uint32_t)>& is_watched) const {
    constexpr std::uint8_t global_scope = 0;  // RT_SCOPE_UNIVERSE
    std::map<std::uint32_t, nat_device> devices;
    const auto add = [&](std::uint32_t ifindex, std::uint32_t flags) {
        if (is_watched(egress_hook(ifindex), ifindex)) {
            const auto seen = seen_.find(ifindex);
            nat_device device{.address = addresses.node.wire(), .flags = flags, .mtu = 0, .mac = {}, .shim_mac = {}};
            if (seen != seen_.end()) {
                device.mtu = seen->second.mtu;
                std::ranges::copy(seen->second.mac.value_or(MacAddress()).bytes(), device.mac);
            }
            if (const auto chosen = chosen_.find(ifindex); chosen != chosen_.end()) {
                std::ranges::copy(chosen->second.shim_mac.bytes(), device.shim_mac);
            }
            devices.emplace(ifindex, device);
        }
    };
    for (const auto& [ifindex, uplink] : chosen_) {
        if (uplink.inner && !peer_facing.contains(ifindex)) {
            devices.emplace(ifindex,
                            nat_device{.address = 0, .flags = NAT_DEVICE_INNER, .mtu = 0, .mac = {}, .shim_mac = {}});
        } else {
            add(ifindex, flags_of(uplink));
        }
    }
    for (const auto& [ifindex, name] : peer_facing) {
        if (!devices.contains(ifindex)) {
            add(ifindex, 0);
        }
    }
    for (const auto& address : addresses.all) {
        const auto device = devices.find(address.ifindex);
        if (device == devices.end() || (device->second.flags & (NAT_DEVICE_INNER | NAT_DEVICE_OWN)) != 0 ||
            address.scope != global_scope ||
            (address.ifindex == addresses.underlay && address.address != addresses.node)) {
            continue;
        }
        device->second.address = address.address.wire();
        device->second.flags |= NAT_DEVICE_OWN;
    }
    return devices;
}

}  // namespace podlane
