// SPDX-License-Identifier: Apache-2.0
#include "maps/catalog.h"

#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace podlane {
namespace {

TEST(CatalogTest, EveryMapOfTheSchema_IsInItOnceAndInOrder) {
    std::vector<std::string_view> wanted;
#define PODLANE_NAME(name, type, key, value, capacity, flags, purpose) wanted.emplace_back(#name);
    PODLANE_MAPS(PODLANE_NAME)
#undef PODLANE_NAME
    std::vector<std::string_view> names;
    for (const CatalogMap& map : map_catalog()) {
        names.push_back(map.shape.name);
    }
    EXPECT_EQ(names, wanted);
    EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
}

TEST(CatalogTest, Shape_IsTheSpecs) {
    const CatalogMap* map = find_map("nodes_by_pod_cidr");
    ASSERT_NE(map, nullptr);
    EXPECT_EQ(map->shape.type, BPF_MAP_TYPE_HASH);
    EXPECT_EQ(map->shape.key_size, 8U);
    EXPECT_EQ(map->shape.value_size, 24U);
    EXPECT_EQ(map->shape.capacity, 16384U);
    EXPECT_EQ(map->purpose, "which node owns a podCIDR, and the way to it");
}

TEST(CatalogTest, UnknownName_IsNothing) {
    EXPECT_EQ(find_map("nodes"), nullptr);
    EXPECT_EQ(find_map(""), nullptr);
}

class CatalogMapTest : public testing::TestWithParam<std::size_t> {
protected:
    [[nodiscard]] static const CatalogMap& map() { return map_catalog()[GetParam()]; }
};

// Whatever bytes the kernel hands out, the printers neither fail nor read past them.
TEST_P(CatalogMapTest, AnyBytes_BecomeObjectsWithTheSameFields) {
    std::set<std::string> key_fields;
    std::set<std::string> value_fields;
    for (const unsigned fill : {0x00U, 0x01U, 0x7fU, 0xffU}) {
        const std::vector<std::byte> key(map().shape.key_size, std::byte(fill));
        const std::vector<std::byte> value(map().shape.value_size, std::byte(fill));
        const Json key_json = map().key_json(key);
        const Json value_json = map().value_json(value);
        ASSERT_TRUE(key_json.is_object() && !key_json.empty()) << key_json.dump();
        ASSERT_TRUE(value_json.is_object() && !value_json.empty()) << value_json.dump();
        std::string names;
        for (const auto& field : key_json.items()) {
            names += field.key() + " ";
        }
        key_fields.insert(names);
        names.clear();
        for (const auto& field : value_json.items()) {
            names += field.key() + " ";
        }
        value_fields.insert(names);
    }
    EXPECT_EQ(key_fields.size(), 1U);
    EXPECT_EQ(value_fields.size(), 1U);
}

TEST_P(CatalogMapTest, PrintedKey_IsFoundAgainInBothForms) {
    const std::vector<std::byte> key(map().shape.key_size, std::byte(0));
    for (const std::string& typed : {map().shape.key_text(key), map().key_json(key).dump()}) {
        const auto parsed = map().parse_key(typed);
        ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
        EXPECT_EQ(*parsed, key) << typed;
    }
}

TEST_P(CatalogMapTest, Nonsense_IsNoKey) {
    for (const std::string typed : {"", "x", ":", "{}", "{\"", "{\"a\":{}}", "10.0.0.0/33", ":::::::::::"}) {
        EXPECT_FALSE(map().parse_key(typed).has_value()) << typed;
    }
}

INSTANTIATE_TEST_SUITE_P(Maps, CatalogMapTest, testing::Range(std::size_t{0}, map_catalog().size()),
                         [](const auto& test) { return std::string(map_catalog()[test.param].shape.name); });

TEST(CatalogTest, PerCpuValue_IsTheSum) {
    const std::vector<packet_counter> per_cpu = {{.packets = 1, .bytes = 60}, {.packets = 2, .bytes = 1500}};
    const Json json = find_map("drop_counters")->value_json(std::as_bytes(std::span(per_cpu)));
    EXPECT_EQ(json.dump(), R"({"packets":3,"bytes":1560})");
}

}  // namespace
}  // namespace podlane
