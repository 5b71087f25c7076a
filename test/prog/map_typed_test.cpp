// SPDX-License-Identifier: Apache-2.0
// Map<Spec> on maps of the real kernel: every map of the schema, and the ways in which one can be the wrong one.
#include <fcntl.h>
#include <net/if.h>

#include <algorithm>
#include <set>

#include <arpa/inet.h>

#include "test/prog/map_support.h"

namespace podlane {

// Larger than any map of the schema, of the same type as most.
struct LargeSpec : spec::nodes_by_pod_cidr {
    static constexpr std::uint32_t capacity = 100'000;
};
// A type for which the kernel has no batch operations.
struct DeviceValue {
    std::uint32_t ifindex;
};
struct DeviceSpec {
    using Key = __u32;
    using Value = DeviceValue;
    static constexpr std::string_view name = "devices_by_index";
    static constexpr bpf_map_type type = BPF_MAP_TYPE_DEVMAP_HASH;
    static constexpr std::uint32_t capacity = 64;
    static constexpr std::uint32_t flags = 0;
};
template <>
struct KeyFormat<LargeSpec> : PodCidrKeyFormat {};
template <>
struct KeyFormat<DeviceSpec> : IndexKeyFormat {};

namespace prog {
namespace {

pod_cidr_key pod_cidr(unsigned number) {
    return {.address = htonl(0x0a000000U + (number << 8U)), .prefix_length = 24};
}

node_route route(unsigned number) {
    return {.vtep = htonl(0xc0a80000U + number),
            .next_hop = htonl(0xc0a80000U + number),
            .ifindex = number,
            .mtu = 1450,
            .vtep_mac = {2, 0x50, 0, 0, 0, static_cast<__u8>(number)},
            .path = NODE_PATH_VXLAN,
            .pad = 0};
}

// The number-th key that every map of the schema can hold.
template <typename Spec>
typename Spec::Key key_number(std::uint32_t number) {
    typename Spec::Key key{};
    if constexpr (std::same_as<typename Spec::Key, network_key>) {
        key = {.prefix_length = 32, .address = htonl(number)};
    } else if constexpr (std::same_as<typename Spec::Key, __u32>) {
        key = is_array(Spec::type) ? number % Spec::capacity : number;
    } else {
        std::memcpy(&key, &number, sizeof(number));
    }
    return key;
}

template <typename Spec>
StoredValue<Spec> value_number(std::uint8_t number) {
    if constexpr (spec_is_per_cpu<Spec>) {
        StoredValue<Spec> values(possible_cpus());
        std::memset(values.data(), number, values.size() * sizeof(values[0]));
        return values;
    } else {
        StoredValue<Spec> value;
        std::memset(&value, number, sizeof(value));
        return value;
    }
}

template <typename Spec>
bool same(const StoredValue<Spec>& left, const StoredValue<Spec>& right) {
    if constexpr (spec_is_per_cpu<Spec>) {
        return left.size() == right.size() &&
               std::memcmp(left.data(), right.data(), left.size() * sizeof(left[0])) == 0;
    } else {
        return std::memcmp(&left, &right, sizeof(left)) == 0;
    }
}

template <typename Ignored, typename... Specs>
struct SpecList {
    using type = testing::Types<Specs...>;
};
#define PODLANE_SPEC(name, type, key, value, capacity, flags, purpose) , spec::name
using AllSpecs = SpecList<void PODLANE_MAPS(PODLANE_SPEC)>::type;
#undef PODLANE_SPEC

template <typename Spec>
class MapTypeTest : public testing::Test {};
class SpecName {
public:
    template <typename Spec>
    static std::string GetName(int /*index*/) {  // NOLINT(readability-identifier-naming): googletest's
        return std::string(Spec::name);
    }
};
TYPED_TEST_SUITE(MapTypeTest, AllSpecs, SpecName);

TYPED_TEST(MapTypeTest, UpdatedEntry_IsFoundByLookupAndWalk) {
    auto map = new_map<TypeParam>();
    const auto key = key_number<TypeParam>(7);
    const auto value = value_number<TypeParam>(0x5a);
    ASSERT_TRUE(map.update(key, value).has_value());

    const auto found = map.lookup(key);
    ASSERT_TRUE(found.has_value()) << found.error().message;
    ASSERT_TRUE(found->has_value());
    EXPECT_TRUE(same<TypeParam>(**found, value));

    const auto entries = map.entries();
    ASSERT_TRUE(entries.has_value()) << entries.error().message;
    EXPECT_EQ(entries->size(), is_array(TypeParam::type) ? TypeParam::capacity : 1U);
    const auto walked = std::ranges::find_if(
        *entries, [&](const auto& entry) { return std::memcmp(&entry.first, &key, sizeof(key)) == 0; });
    ASSERT_NE(walked, entries->end());
    EXPECT_TRUE(same<TypeParam>(walked->second, value));
}

TYPED_TEST(MapTypeTest, EmptyMap_HasNoEntryOrOnlyZeroes) {
    auto map = new_map<TypeParam>();
    const auto entries = map.entries();
    ASSERT_TRUE(entries.has_value()) << entries.error().message;
    EXPECT_EQ(entries->size(), is_array(TypeParam::type) ? TypeParam::capacity : 0U);
    const auto found = map.lookup(key_number<TypeParam>(7));
    ASSERT_TRUE(found.has_value()) << found.error().message;
    EXPECT_EQ(found->has_value(), is_array(TypeParam::type));
}

TYPED_TEST(MapTypeTest, UpdateModes_AreTheKernels) {
    auto map = new_map<TypeParam>();
    const auto key = key_number<TypeParam>(1);
    const auto value = value_number<TypeParam>(1);
    if (!is_array(TypeParam::type)) {
        const auto absent = map.update(key, value, UpdateMode::existing);
        if (absent && TypeParam::type == BPF_MAP_TYPE_LPM_TRIE) {
            // Until Linux 6.13, and stable branches of its time; podlane asks for no mode there.
            GTEST_SKIP() << "this kernel's LPM tries take every update mode for BPF_ANY";
        }
        ASSERT_FALSE(absent.has_value());
        EXPECT_EQ(absent.error().code, ENOENT);
        EXPECT_TRUE(map.update(key, value, UpdateMode::new_only).has_value());
    }
    const auto present = map.update(key, value, UpdateMode::new_only);
    ASSERT_FALSE(present.has_value());
    EXPECT_EQ(present.error().code, EEXIST);
    EXPECT_EQ(present.error().message,
              fmt::format("update {} {}: File exists", TypeParam::name, KeyFormat<TypeParam>::text(key)));
    EXPECT_TRUE(map.update(key, value_number<TypeParam>(2), UpdateMode::existing).has_value());
}

TYPED_TEST(MapTypeTest, ErasedEntry_IsGoneAndErasingAgainIsNoError) {
    if constexpr (!is_array(TypeParam::type)) {
        auto map = new_map<TypeParam>();
        const auto key = key_number<TypeParam>(1);
        ASSERT_TRUE(map.update(key, value_number<TypeParam>(1)).has_value());
        EXPECT_EQ(map.erase(key).value(), true);
        EXPECT_EQ(map.erase(key).value(), false);
        EXPECT_EQ(map.lookup(key)->has_value(), false);
    } else {
        // That erase does not compile is the behaviour.
        static_assert(!requires(Map<TypeParam>& map) { map.erase(typename TypeParam::Key{}); });
    }
}

TYPED_TEST(MapTypeTest, Batch_AddsReplacesAndErases) {
    if constexpr (!is_array(TypeParam::type) && !spec_is_per_cpu<TypeParam>) {
        auto map = new_map<TypeParam>();
        constexpr std::uint32_t count = TypeParam::capacity / 2;
        std::vector<typename TypeParam::Key> keys;
        keys.reserve(count);
        for (std::uint32_t i = 0; i < count; ++i) {
            keys.push_back(key_number<TypeParam>(i));
        }
        for (const std::uint8_t number : std::to_array<std::uint8_t>({1, 2})) {
            const std::vector<typename TypeParam::Value> values(count, value_number<TypeParam>(number));
            ASSERT_TRUE(map.update_all(keys, values).has_value());
            const auto entries = map.entries();
            ASSERT_TRUE(entries.has_value()) << entries.error().message;
            EXPECT_EQ(entries->size(), count);
            EXPECT_TRUE(std::ranges::all_of(
                *entries, [&](const auto& entry) { return same<TypeParam>(entry.second, values[0]); }));
        }
        EXPECT_EQ(map.erase_all(keys).value(), count);
        EXPECT_TRUE(map.entries()->empty());
    }
}

TYPED_TEST(MapTypeTest, Memory_IsToldByTheKernel) {
    auto handle = MapHandle::adopt(create_map<TypeParam>(), shape_of<TypeParam>());
    ASSERT_TRUE(handle.has_value());
    // An entry, because a map that takes memory as it grows has none before.
    const std::vector<std::byte> value(handle->stored_value_size());
    ASSERT_TRUE(handle->update(bytes_of(key_number<TypeParam>(1)), value, UpdateMode::any).has_value());
    const auto memory = handle->memory();
    ASSERT_TRUE(memory.has_value()) << memory.error().message;
    EXPECT_GT(*memory, 0U);
}

static_assert(!std::copyable<Map<spec::pods_by_ipv4>> && std::movable<Map<spec::pods_by_ipv4>>);

template <typename AnyMap>
concept Writable = requires(AnyMap& map) { map.update({}, {}); };
static_assert(Writable<Map<spec::pods_by_ipv4>> && !Writable<ReadOnlyMap<spec::pods_by_ipv4>>);

TEST(MapBatchTest, ErasingKeysThatAreNotThere_CountsTheOthers) {
    auto map = new_map<spec::nodes_by_pod_cidr>();
    std::vector<pod_cidr_key> keys;
    keys.reserve(1000);
    for (unsigned i = 0; i < 1000; ++i) {
        keys.push_back(pod_cidr(i));
        if (i % 3 != 0) {
            ASSERT_TRUE(map.update(keys.back(), route(i)).has_value());
        }
    }
    EXPECT_EQ(map.erase_all(keys).value(), 666U);
    EXPECT_TRUE(map.entries()->empty());
}

TEST(MapBatchTest, NothingToDo_IsNoError) {
    auto map = new_map<spec::nodes_by_pod_cidr>();
    EXPECT_TRUE(map.update_all({}, {}).has_value());
    EXPECT_EQ(map.erase_all({}).value(), 0U);
}

TEST(MapBatchTest, VisitorMayEraseWhatItVisits) {
    auto map = new_map<spec::nodes_by_pod_cidr>();
    for (unsigned i = 0; i < 5000; ++i) {
        ASSERT_TRUE(map.update(pod_cidr(i), route(i)).has_value());
    }
    std::set<__u32> seen;
    const auto done = map.for_each([&](const pod_cidr_key& key, const node_route& value) {
        EXPECT_TRUE(seen.insert(value.ifindex).second) << fmt::format("{}", key);
        EXPECT_EQ(map.erase(key).value(), true);
    });
    EXPECT_TRUE(done.has_value());
    EXPECT_EQ(seen.size(), 5000U);
    EXPECT_TRUE(map.entries()->empty());
}

TEST(MapBatchTest, TypeWithoutBatchInTheKernel_WorksElementByElement) {
    const auto loopback = if_nametoindex("lo");
    auto map = new_map<DeviceSpec>();
    std::vector<__u32> keys(DeviceSpec::capacity);
    std::ranges::generate(keys, [next = 100U]() mutable { return next++; });
    const std::vector<DeviceValue> values(keys.size(), DeviceValue{loopback});
    ASSERT_TRUE(map.update_all(keys, values).has_value());
    const auto entries = map.entries();
    ASSERT_TRUE(entries.has_value()) << entries.error().message;
    std::set<__u32> seen;
    for (const auto& [key, value] : *entries) {
        EXPECT_EQ(value.ifindex, loopback);
        seen.insert(key);
    }
    EXPECT_EQ(seen, std::set<__u32>(keys.begin(), keys.end()));
    EXPECT_EQ(map.erase_all(keys).value(), keys.size());
    EXPECT_TRUE(map.entries()->empty());
}

TEST(MapBatchTest, HundredThousandEntries_AreAllThere) {
    std::vector<pod_cidr_key> keys;
    std::vector<node_route> values;
    keys.reserve(LargeSpec::capacity);
    values.reserve(LargeSpec::capacity);
    for (unsigned i = 0; i < LargeSpec::capacity; ++i) {
        keys.push_back(pod_cidr(i));
        values.push_back(route(i));
    }
    auto map = new_map<LargeSpec>();
    ASSERT_TRUE(map.update_all(keys, values).has_value());
    EXPECT_EQ(map.entries()->size(), LargeSpec::capacity);
}

TEST(MapFullTest, Hash_SaysNoSpaceAndNamesMapAndKey) {
    auto map = new_map<spec::nodes_by_pod_cidr>();
    constexpr auto capacity = spec::nodes_by_pod_cidr::capacity;
    std::vector<pod_cidr_key> keys;
    std::vector<node_route> values;
    keys.reserve(capacity);
    values.reserve(capacity);
    for (unsigned i = 0; i < capacity; ++i) {
        keys.push_back({.address = htonl(i), .prefix_length = 32});
        values.push_back(route(i));
    }
    ASSERT_TRUE(map.update_all(keys, values).has_value());
    const auto full = map.update(PodCidrKeyFormat::parse("10.1.2.0/24").value(), route(1));
    ASSERT_FALSE(full.has_value());
    EXPECT_EQ(full.error().code, ENOSPC);
    EXPECT_EQ(full.error().message, "update nodes_by_pod_cidr 10.1.2.0/24: No space left on device");
    EXPECT_TRUE(map.update(keys[5], route(9)).has_value()) << "an entry that is there can be replaced";
}

TEST(MapFullTest, Batch_NamesTheFirstKeyThatFoundNoPlace) {
    auto map = new_map<spec::pods_by_ipv4>();
    constexpr auto capacity = spec::pods_by_ipv4::capacity;
    std::vector<__be32> keys;
    keys.reserve(capacity + 10);
    for (unsigned i = 0; i < capacity + 10; ++i) {
        keys.push_back(htonl(0x0af40000U + i));
    }
    const std::vector<pod_endpoint> values(keys.size());
    const auto full = map.update_all(keys, values);
    ASSERT_FALSE(full.has_value());
    EXPECT_EQ(full.error().message, "update pods_by_ipv4 10.244.16.0: No space left on device");
    EXPECT_EQ(map.entries()->size(), capacity) << "those before it are in";
}

TEST(MapFullTest, LongestPrefixMatch_SaysNoSpace) {
    auto map = new_map<spec::networks_by_prefix>();
    for (unsigned i = 0; i < spec::networks_by_prefix::capacity; ++i) {
        ASSERT_TRUE(map.update({.prefix_length = 32, .address = htonl(i)}, {.network_class = NETWORK_CLUSTER}));
    }
    const auto full = map.update(NetworkKeyFormat::parse("10.244.0.0/16").value(), {.network_class = NETWORK_CLUSTER});
    ASSERT_FALSE(full.has_value());
    EXPECT_EQ(full.error().message, "update networks_by_prefix 10.244.0.0/16: No space left on device");
}

TEST(MapFullTest, IndexOutOfRange_IsAnErrorWithTheIndex) {
    auto map = new_map<spec::pod_cidr_lengths>();
    const auto out_of_range = map.update(1, {});
    ASSERT_FALSE(out_of_range.has_value());
    EXPECT_EQ(out_of_range.error().message.find("update pod_cidr_lengths 1: "), 0U) << out_of_range.error().message;
}

TEST(PerCpuMapTest, Sum_IsOverAllCpus) {
    auto map = new_map<spec::drop_counters>();
    const reason_key key{.reason = DROP_WRONG_VNI, .direction = DIRECTION_FROM_UNDERLAY};
    std::vector<packet_counter> per_cpu(possible_cpus());
    packet_counter expected{};
    for (std::size_t cpu = 0; cpu < per_cpu.size(); ++cpu) {
        per_cpu[cpu] = {.packets = cpu + 1, .bytes = 100 * (cpu + 1)};
        expected.packets += cpu + 1;
        expected.bytes += 100 * (cpu + 1);
    }
    ASSERT_TRUE(map.update(key, per_cpu).has_value());
    const auto found = map.lookup(key);
    ASSERT_TRUE(found.has_value() && found->has_value());
    EXPECT_EQ(sum(**found).packets, expected.packets);
    EXPECT_EQ(sum(**found).bytes, expected.bytes);
}

TEST(PerCpuMapTest, ValueOfTooFewCpus_IsRefused) {
    auto map = new_map<spec::drop_counters>();
    const auto refused = map.update({}, std::vector<packet_counter>(possible_cpus() - 1));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, EINVAL);
}

class MapPinTest : public BpffsTest {};

TEST_F(MapPinTest, PinnedMap_IsOpenedWithItsEntries) {
    auto made = new_map<spec::nodes_by_pod_cidr>();
    ASSERT_TRUE(made.update(pod_cidr(3), route(3)).has_value());
    const auto path = pin_path<spec::nodes_by_pod_cidr>(bpffs());
    EXPECT_EQ(path, bpffs() / "v1" / "maps" / "nodes_by_pod_cidr");
    pin(made.fd(), path);
    auto opened = Map<spec::nodes_by_pod_cidr>::open(path);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    EXPECT_EQ(opened->lookup(pod_cidr(3)).value()->ifindex, 3U);
}

TEST_F(MapPinTest, ReadOnlyMap_ReadsAndCannotWrite) {
    auto made = new_map<spec::nodes_by_pod_cidr>();
    ASSERT_TRUE(made.update(pod_cidr(3), route(3)).has_value());
    const auto path = bpffs() / "pin";
    pin(made.fd(), path);
    const auto reader = ReadOnlyMap<spec::nodes_by_pod_cidr>::open(path);
    ASSERT_TRUE(reader.has_value()) << reader.error().message;
    EXPECT_EQ(reader->entries()->size(), 1U);
    const auto key = pod_cidr(4);
    const auto value = route(4);
    EXPECT_EQ(bpf_map_update_elem(reader->fd(), &key, &value, BPF_ANY), -EPERM);
    EXPECT_EQ(bpf_map_delete_elem(reader->fd(), &key), -EPERM);
}

TEST_F(MapPinTest, MissingPin_IsNamed) {
    const auto missing = Map<spec::pods_by_ipv4>::open(bpffs() / "nothing");
    ASSERT_FALSE(missing.has_value());
    EXPECT_EQ(missing.error().code, ENOENT);
    EXPECT_EQ(missing.error().message,
              fmt::format("open map pods_by_ipv4 at {}: No such file or directory", (bpffs() / "nothing").native()));
}

TEST_F(MapPinTest, PinOfAnotherShape_IsRefusedWithAllDifferences) {
    MapShape shape = shape_of<spec::pods_by_ipv4>();
    shape.type = BPF_MAP_TYPE_LRU_HASH;
    shape.key_size = 8;
    shape.value_size = 20;
    shape.capacity = 99;
    pin(create_map(shape, 0).get(), bpffs() / "pin");
    const auto refused = Map<spec::pods_by_ipv4>::open(bpffs() / "pin");
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, EINVAL);
    EXPECT_EQ(refused.error().message,
              "map pods_by_ipv4 is not what this version uses: the type is lru_hash, not hash, the key size is 8, not "
              "4, the value size is 20, not 32, the capacity is 99, not 4096");
}

TEST_F(MapPinTest, AdoptedForeignMap_IsRefusedAndClosed) {
    Fd other = create_map<spec::nodes_by_ipv4>();
    const int number = other.get();
    const auto refused = Map<spec::pods_by_ipv4>::adopt(std::move(other));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(
        refused.error().message,
        "map pods_by_ipv4 is not what this version uses: the value size is 24, not 32, the capacity is 16384, not "
        "4096");
    EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

}  // namespace
}  // namespace prog
}  // namespace podlane
