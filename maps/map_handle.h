// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane {

using ConstBytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

// What a map must be: compared with what the kernel says of a descriptor.
struct MapShape {
    std::string_view name;
    bpf_map_type type = BPF_MAP_TYPE_UNSPEC;
    std::uint32_t key_size = 0;
    std::uint32_t value_size = 0;  // of one value: a per-CPU map holds one for each possible CPU
    std::uint32_t capacity = 0;
    std::string (*key_text)(ConstBytes key) = nullptr;  // how errors name a key
};

enum class MapAccess { read_write, read_only };

enum class UpdateMode : std::uint64_t { any = BPF_ANY, new_only = BPF_NOEXIST, existing = BPF_EXIST };

// Every entry of a map at about one moment, keys and values end to end.
struct RawEntries {
    std::size_t key_size = 0;
    std::size_t value_size = 0;  // as MapHandle::stored_value_size
    std::size_t count = 0;
    std::vector<std::byte> keys;
    std::vector<std::byte> values;

    [[nodiscard]] ConstBytes key(std::size_t index) const {
        return ConstBytes(keys).subspan(index * key_size, key_size);
    }
    [[nodiscard]] ConstBytes value(std::size_t index) const {
        return ConstBytes(values).subspan(index * value_size, value_size);
    }
};

// Sole owner of the descriptor of one BPF map whose shape has been checked. The untyped half of Map<Spec>
// (maps/typed_map.h), and what agentctl reads maps through. Keys and values are bytes, as the kernel holds them.
//
// Errors name operation, map and key: "update nodes_by_pod_cidr 10.1.2.0/24: No space left on device".
class MapHandle {
public:
    // The map pinned at `pin`. With read_only the kernel refuses every write through this handle (EPERM).
    [[nodiscard]] static Result<MapHandle> open(const std::filesystem::path& pin, const MapShape& wanted,
                                                MapAccess access);
    // Takes the descriptor, which is closed also when the map is not of the wanted shape (EINVAL, all differences
    // named).
    [[nodiscard]] static Result<MapHandle> adopt(Fd fd, const MapShape& wanted);

    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] const MapShape& shape() const { return shape_; }
    // Bytes that lookup writes and update reads: for a per-CPU map all CPUs' values, each padded to 8 bytes.
    [[nodiscard]] std::size_t stored_value_size() const;
    // Kernel memory that the map is charged for, bytes.
    [[nodiscard]] Result<std::uint64_t> memory() const;

    // False: there is no such key, and `value` is untouched.
    [[nodiscard]] Result<bool> lookup(ConstBytes key, MutableBytes value) const;
    // new_only: EEXIST when the key is there; existing: ENOENT when it is not. A full map is ENOSPC, whatever the
    // kernel calls it for the map's type.
    [[nodiscard]] Result<void> update(ConstBytes key, ConstBytes value, UpdateMode mode);
    // False: there was no such key.
    [[nodiscard]] Result<bool> erase(ConstBytes key);

    // `count` keys and values end to end, added or replaced. After an error the elements before the one that the
    // error names are in the map.
    [[nodiscard]] Result<void> update_all(ConstBytes keys, ConstBytes values, std::size_t count);
    // Returns how many were there.
    [[nodiscard]] Result<std::size_t> erase_all(ConstBytes keys, std::size_t count);

    // Entries that are added or removed meanwhile may or may not be in it.
    [[nodiscard]] Result<RawEntries> entries() const;

private:
    MapHandle(Fd fd, const MapShape& shape) : fd_(std::move(fd)), shape_(shape) {}
    [[nodiscard]] std::unexpected<Error> failed(int code, std::string_view operation, ConstBytes key) const;
    [[nodiscard]] bool read_batches(RawEntries& entries) const;
    [[nodiscard]] Result<void> read_one_by_one(RawEntries& entries) const;

    Fd fd_;
    MapShape shape_;
};

[[nodiscard]] constexpr bool is_per_cpu(bpf_map_type type) {
    return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
           type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

// Entries of these exist from the start and cannot be erased.
[[nodiscard]] constexpr bool is_array(bpf_map_type type) {
    return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

// CPUs that the kernel keeps per-CPU values for: more than are online, where CPUs can be added.
[[nodiscard]] std::size_t possible_cpus();

// "hash", "lru_hash", ...: the kernel's names.
[[nodiscard]] std::string map_type_name(bpf_map_type type);

// <bpffs>/v<schema version>/maps
[[nodiscard]] std::filesystem::path map_pin_directory(const std::filesystem::path& bpffs);

}  // namespace podlane
