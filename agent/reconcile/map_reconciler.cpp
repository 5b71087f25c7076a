// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/map_reconciler.h"

#include <algorithm>
#include <utility>

#include "agent/reconcile/delta.h"
#include "maps/typed_map.h"

namespace podlane {
namespace {

// A map and what it is known to hold.
template <typename Spec>
struct Mirror {
    Map<Spec> map;
    MapContent<Spec> actual;
};

template <typename Spec>
Result<MapContent<Spec>> content_of(const Map<Spec>& map) {
    MapContent<Spec> content;
    const auto read = map.for_each([&](const auto& key, const auto& value) { content[key] = value; });
    if (!read) {
        return std::unexpected(read.error());
    }
    return content;
}

template <typename Spec>
Result<Mirror<Spec>> open_mirror(const PinDirectory& pins) {
    auto map = Map<Spec>::open(pins.map(Spec::name));
    if (!map) {
        return std::unexpected(map.error());
    }
    auto content = content_of(*map);
    if (!content) {
        return std::unexpected(content.error());
    }
    return Mirror<Spec>{std::move(*map), std::move(*content)};
}

// How many entries differ from what is remembered, which is no longer.
template <typename Spec>
Result<std::size_t> refresh(Mirror<Spec>& mirror) {
    auto content = content_of(mirror.map);
    if (!content) {
        return std::unexpected(content.error());
    }
    const auto delta = map_delta(mirror.actual, *content, BytesEqual{});
    mirror.actual = std::move(*content);
    return delta.to_add.size() + delta.to_change.size() + delta.to_remove.size();
}

template <typename Spec>
std::pair<std::string_view, std::size_t> size_of(const Mirror<Spec>& mirror) {
    return {Spec::name, mirror.actual.size()};
}

// What much else depends on: written first, since there may not be room for all.
template <typename Value>
constexpr bool is_vital(const Value& /*value*/) {
    return false;
}
constexpr bool is_vital(const network_entry& network) {
    return network.network_class == NETWORK_CLUSTER || network.network_class == NETWORK_SERVICE;
}

template <typename Spec>
using Entries = std::vector<std::pair<typename Spec::Key, typename Spec::Value>>;

template <typename Spec>
Result<void> write(Mirror<Spec>& mirror, const Entries<Spec>& entries, MapReport& report) {
    std::vector<typename Spec::Key> keys;
    std::vector<typename Spec::Value> values;
    for (const auto& [key, value] : entries) {
        keys.push_back(key);
        values.push_back(value);
    }
    if (auto written = mirror.map.update_all(keys, values); !written) {
        [[maybe_unused]] const auto reread = refresh(mirror);  // how far it came, the kernel knows
        return written;
    }
    for (const auto& [key, value] : entries) {
        mirror.actual[key] = value;
    }
    report.updated += entries.size();
    return {};
}

template <typename Spec>
Result<void> remove(Mirror<Spec>& mirror, const std::vector<typename Spec::Key>& keys, MapReport& report) {
    if constexpr (Spec::type != BPF_MAP_TYPE_ARRAY) {
        for (const auto& key : keys) {
            if (auto erased = mirror.map.erase(key); !erased) {
                return std::unexpected(erased.error());
            }
            mirror.actual.erase(key);
            ++report.removed;
        }
    }
    return {};
}

template <typename Spec>
Result<void> apply(Mirror<Spec>& mirror, const MapContent<Spec>& wanted, MapReport& report) {
    auto delta = map_delta(wanted, mirror.actual, BytesEqual{});
    const bool both_fit = mirror.actual.size() + delta.to_add.size() <= Spec::capacity;
    Entries<Spec> entries = std::move(delta.to_change);
    entries.insert(entries.end(), delta.to_add.begin(), delta.to_add.end());
    std::ranges::stable_partition(entries, [](const auto& entry) { return is_vital(entry.second); });
    if (!both_fit) {
        if (auto removed = remove(mirror, delta.to_remove, report); !removed) {
            return removed;
        }
        delta.to_remove.clear();
    }
    if (auto written = entries.empty() ? Result<void>() : write(mirror, entries, report); !written) {
        return written;
    }
    return remove(mirror, delta.to_remove, report);
}

}  // namespace

std::vector<PodCidrOwner> read_pod_cidr_owners(const PinDirectory& pins) {
    std::vector<PodCidrOwner> owners;
    const auto map = ReadOnlyMap<spec::nodes_by_pod_cidr>::open(pins.map(spec::nodes_by_pod_cidr::name));
    const auto entries = map ? map->entries() : std::unexpected(map.error());
    if (entries) {
        for (const auto& [key, route] : *entries) {
            owners.push_back({.pod_cidr = Ipv4Prefix::masked(Ipv4Address::from_wire(key.address), key.prefix_length),
                              .vtep = Ipv4Address::from_wire(route.vtep)});
        }
    }
    return owners;
}

IpMasqAgentConfig read_ip_masq_agent(const PinDirectory& pins) {
    const auto map = ReadOnlyMap<spec::networks_by_prefix>::open(pins.map(spec::networks_by_prefix::name));
    const auto entries = map ? map->entries() : std::unexpected(map.error());
    return entries ? recall_ip_masq_agent(*entries) : IpMasqAgentConfig{};
}

struct MapReconciler::Maps {
    Mirror<spec::nodes_by_pod_cidr> nodes_by_pod_cidr;
    Mirror<spec::nodes_by_ipv4> nodes_by_ipv4;
    Mirror<spec::pods_by_ipv4> pods_by_ipv4;
    Mirror<spec::networks_by_prefix> networks_by_prefix;
    Mirror<spec::pod_cidr_lengths> pod_cidr_lengths;
    Mirror<spec::nat_address_by_device> nat_address_by_device;
    Mirror<spec::macvlan_pods_by_ipv4> macvlan_pods_by_ipv4;
};

MapReconciler::MapReconciler(std::unique_ptr<Maps> maps) : maps_(std::move(maps)) {}
MapReconciler::MapReconciler(MapReconciler&&) noexcept = default;
MapReconciler& MapReconciler::operator=(MapReconciler&&) noexcept = default;
MapReconciler::~MapReconciler() = default;

Result<MapReconciler> MapReconciler::open(const PinDirectory& pins) {
    auto nodes_by_pod_cidr = open_mirror<spec::nodes_by_pod_cidr>(pins);
    auto nodes_by_ipv4 = open_mirror<spec::nodes_by_ipv4>(pins);
    auto pods_by_ipv4 = open_mirror<spec::pods_by_ipv4>(pins);
    auto networks_by_prefix = open_mirror<spec::networks_by_prefix>(pins);
    auto pod_cidr_lengths = open_mirror<spec::pod_cidr_lengths>(pins);
    auto nat_address_by_device = open_mirror<spec::nat_address_by_device>(pins);
    auto macvlan_pods_by_ipv4 = open_mirror<spec::macvlan_pods_by_ipv4>(pins);
    for (const Error* error :
         {nodes_by_pod_cidr ? nullptr : &nodes_by_pod_cidr.error(), nodes_by_ipv4 ? nullptr : &nodes_by_ipv4.error(),
          pods_by_ipv4 ? nullptr : &pods_by_ipv4.error(), networks_by_prefix ? nullptr : &networks_by_prefix.error(),
          pod_cidr_lengths ? nullptr : &pod_cidr_lengths.error(),
          nat_address_by_device ? nullptr : &nat_address_by_device.error(),
          macvlan_pods_by_ipv4 ? nullptr : &macvlan_pods_by_ipv4.error()}) {
        if (error != nullptr) {
            return std::unexpected(*error);
        }
    }
    return MapReconciler(
        std::make_unique<Maps>(Maps{std::move(*nodes_by_pod_cidr), std::move(*nodes_by_ipv4), std::move(*pods_by_ipv4),
                                    std::move(*networks_by_prefix), std::move(*pod_cidr_lengths),
                                    std::move(*nat_address_by_device), std::move(*macvlan_pods_by_ipv4)}));
}

Result<std::size_t> MapReconciler::reread() {
    std::size_t differing = 0;
    for (const auto& refreshed :
         {refresh(maps_->networks_by_prefix), refresh(maps_->pods_by_ipv4), refresh(maps_->nodes_by_ipv4),
          refresh(maps_->nodes_by_pod_cidr), refresh(maps_->pod_cidr_lengths), refresh(maps_->nat_address_by_device),
          refresh(maps_->macvlan_pods_by_ipv4)}) {
        if (!refreshed) {
            return std::unexpected(refreshed.error());
        }
        differing += *refreshed;
    }
    return differing;
}

std::vector<std::pair<std::string_view, std::size_t>> MapReconciler::sizes() const {
    return {size_of(maps_->nodes_by_pod_cidr),   size_of(maps_->nodes_by_ipv4),
            size_of(maps_->pods_by_ipv4),        size_of(maps_->networks_by_prefix),
            size_of(maps_->pod_cidr_lengths),    size_of(maps_->nat_address_by_device),
            size_of(maps_->macvlan_pods_by_ipv4)};
}

MapReport MapReconciler::reconcile(const WantedMaps& wanted) {
    MapReport report;
    // Lengths follow the prefixes they are needed for; a length too many only costs a look-up.
    for (const auto& applied : {apply(maps_->networks_by_prefix, wanted.networks_by_prefix, report),
                                apply(maps_->pods_by_ipv4, wanted.pods_by_ipv4, report),
                                apply(maps_->nodes_by_ipv4, wanted.nodes_by_ipv4, report),
                                apply(maps_->nodes_by_pod_cidr, wanted.nodes_by_pod_cidr, report),
                                apply(maps_->pod_cidr_lengths, wanted.pod_cidr_lengths, report),
                                apply(maps_->nat_address_by_device, wanted.nat_address_by_device, report),
                                apply(maps_->macvlan_pods_by_ipv4, wanted.macvlan_pods_by_ipv4, report)}) {
        if (!applied) {
            report.errors.push_back(applied.error());
        }
    }
    return report;
}

}  // namespace podlane
