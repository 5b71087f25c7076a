// SPDX-License-Identifier: Apache-2.0
#include "loader/load_object.h"
#include "maps/catalog.h"
#include "test/prog/map_support.h"

// What a new podlane does with the pinned maps of an earlier one.
namespace podlane::prog {
namespace {

using Names = std::vector<std::string>;

class MapUpgradeTest : public BpffsTest {
protected:
    void SetUp() override {
        BpffsTest::SetUp();
        for (const auto& map : map_catalog()) {
            pin_shape(map.shape);
        }
    }
    // Every map of the schema is pinned; this one instead as another build had it.
    void pin_with_another_value(std::string_view name, std::uint32_t value_size) {
        remove_pin(name);
        for (const auto& map : map_catalog()) {
            if (map.shape.name == name) {
                auto shape = map.shape;
                shape.value_size = value_size;
                pin_shape(shape);
            }
        }
    }
    void remove_pin(std::string_view name) { std::filesystem::remove(pins().map(name)); }
    [[nodiscard]] PinDirectory pins() const { return PinDirectory(bpffs()); }
    [[nodiscard]] Names missing() const {
        Names names;
        for (const auto& map : map_catalog()) {
            if (!std::filesystem::exists(pins().map(map.shape.name))) {
                names.emplace_back(map.shape.name);
            }
        }
        return names;
    }

private:
    void pin_shape(const MapShape& shape) const {
        const bool needs_no_prealloc = shape.name == spec::networks_by_prefix::name;
        pin(create_map(shape, needs_no_prealloc ? BPF_F_NO_PREALLOC : 0).get(), pins().map(shape.name));
    }
};

// In the order of maps/schema/maps.h.
const Names all_translations = {"nat_by_flow", "nat_by_reply", "nat_ports_by_destination", "nat_given_ports",
                                "nat_flows_by_pod"};

TEST_F(MapUpgradeTest, PinsOfThisSchema_Stay) {
    EXPECT_EQ(remove_outdated_pins(pins()).value(), Names());
    EXPECT_EQ(missing(), Names());
}

TEST_F(MapUpgradeTest, MapOfAnotherShape_IsUnpinnedAlone) {
    pin_with_another_value("nodes_by_ipv4", 8);
    EXPECT_EQ(remove_outdated_pins(pins()).value(), Names{"nodes_by_ipv4"});
    EXPECT_EQ(missing(), Names{"nodes_by_ipv4"});
}

TEST_F(MapUpgradeTest, TranslationsOfWhichOneMapHasAnotherShape_AreAllLost) {
    for (const char* name : {"nat_by_flow", "nat_by_reply", "nat_flows_by_pod"}) {
        SCOPED_TRACE(name);
        TearDown();
        SetUp();
        pin_with_another_value(name, 24);
        EXPECT_EQ(remove_outdated_pins(pins()).value(),
                  Names{fmt::format("{} (all translations are lost with it)", name)});
        EXPECT_EQ(missing(), all_translations);
    }
}

// An agent that was killed between two of the pins.
TEST_F(MapUpgradeTest, TranslationsOfWhichOneMapIsMissing_AreAllLost) {
    remove_pin("nat_by_flow");
    EXPECT_EQ(remove_outdated_pins(pins()).value(), Names{"nat_by_flow (all translations are lost with it)"});
    EXPECT_EQ(missing(), all_translations);
    EXPECT_EQ(remove_outdated_pins(pins()).value(), Names()) << "nothing is lost where nothing is";
}

}  // namespace
}  // namespace podlane::prog
