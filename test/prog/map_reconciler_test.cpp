// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/map_reconciler.h"

#include "agent/reconcile/delta.h"
#include "test/prog/map_support.h"

// The agent's maps where there is not room for all at once.
namespace podlane::prog {
namespace {

using Networks = MapContent<spec::networks_by_prefix>;
constexpr std::uint32_t capacity = spec::networks_by_prefix::capacity;

class MapReconcilerTest : public BpffsTest {
protected:
    void SetUp() override {
        BpffsTest::SetUp();
        pin_new<spec::nodes_by_pod_cidr>();
        pin_new<spec::nodes_by_ipv4>();
        pin_new<spec::pods_by_ipv4>();
        pin_new<spec::networks_by_prefix>();
        pin_new<spec::pod_cidr_lengths>();
        pin_new<spec::nat_address_by_device>();
        pin_new<spec::macvlan_pods_by_ipv4>();
        auto opened = MapReconciler::open(PinDirectory(bpffs()));
        ASSERT_TRUE(opened.has_value()) << opened.error().message;
        maps_.emplace(std::move(*opened));
    }
    MapReport reconcile(const Networks& networks) {
        WantedMaps wanted;
        wanted.networks_by_prefix = networks;
        return maps_->reconcile(wanted);
    }
    [[nodiscard]] Networks pinned() const {
        Networks networks;
        const auto map = ReadOnlyMap<spec::networks_by_prefix>::open(PinDirectory(bpffs()).map("networks_by_prefix"));
        const auto entries = map.value().entries();
        for (const auto& [key, value] : entries.value()) {
            networks[key] = value;
        }
        return networks;
    }

private:
    template <typename Spec>
    void pin_new() const {
        pin(create_map<Spec>().get(), PinDirectory(bpffs()).map(Spec::name));
    }
    std::optional<MapReconciler> maps_;
};

void add(Networks& networks, std::uint32_t first, unsigned count, network_class network) {
    for (std::uint32_t i = 0; i < count; ++i) {
        networks[{.prefix_length = 32, .address = Ipv4Address::from_host(first + i).wire()}] = {.network_class =
                                                                                                    network};
    }
}

bool same(const Networks& one, const Networks& other) {
    return map_delta(one, other, BytesEqual{}).empty();
}

TEST_F(MapReconcilerTest, MoreThanHalfOfAMap_IsReplacedInOnePass) {
    Networks before;
    add(before, 0x14000000, 9000, NETWORK_UNTRANSLATED);
    ASSERT_TRUE(reconcile(before).errors.empty());
    Networks after;
    add(after, 0x15000000, 9000, NETWORK_UNTRANSLATED);
    const auto report = reconcile(after);
    EXPECT_TRUE(report.errors.empty()) << report.errors.front().message;
    EXPECT_EQ(report.updated, 9000U);
    EXPECT_EQ(report.removed, 9000U);
    EXPECT_TRUE(same(pinned(), after));
}

TEST_F(MapReconcilerTest, OfTooManyNetworks_ThoseOfTheClusterAreThere) {
    Networks wanted;
    add(wanted, 0x14000000, 4 * capacity, NETWORK_UNTRANSLATED);
    Networks vital;
    add(vital, 0x0a000000, 8, NETWORK_CLUSTER);
    add(vital, 0x0b000000, 8, NETWORK_SERVICE);
    wanted.insert(vital.begin(), vital.end());
    ASSERT_EQ(reconcile(wanted).errors.size(), 1U);
    const auto there = pinned();
    EXPECT_EQ(there.size(), capacity);
    for (const auto& [key, value] : vital) {
        EXPECT_TRUE(there.contains(key)) << KeyFormat<spec::networks_by_prefix>::text(key);
    }
}

}  // namespace
}  // namespace podlane::prog
