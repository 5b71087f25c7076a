// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "maps/format.h"
#include "maps/map_handle.h"
#include "maps/spec.h"

namespace podlane {

template <typename Spec>
inline constexpr bool spec_is_per_cpu = is_per_cpu(Spec::type);

// What a map holds under a key: one value, or for a per-CPU map one for each possible CPU.
template <typename Spec>
using StoredValue = std::conditional_t<spec_is_per_cpu<Spec>, std::vector<typename Spec::Value>, typename Spec::Value>;

template <typename T>
[[nodiscard]] ConstBytes bytes_of(const T& object) {
    static_assert(std::is_trivially_copyable_v<T>);
    return std::as_bytes(std::span(&object, 1));
}

template <typename Spec>
[[nodiscard]] MapShape shape_of() {
    return {.name = Spec::name,
            .type = Spec::type,
            .key_size = sizeof(typename Spec::Key),
            .value_size = sizeof(typename Spec::Value),
            .capacity = Spec::capacity,
            .key_text = [](ConstBytes bytes) {
                typename Spec::Key key;
                std::memcpy(&key, bytes.data(), sizeof(key));
                return KeyFormat<Spec>::text(key);
            }};
}

// Reading a map: what ReadOnlyMap and Map have in common. Take a `const MapReader<Spec>&` to read from either.
template <typename Spec>
class MapReader {
public:
    using Key = typename Spec::Key;
    using Value = typename Spec::Value;
    using Stored = StoredValue<Spec>;
    using Entry = std::pair<Key, Stored>;
    static_assert(!spec_is_per_cpu<Spec> || sizeof(Value) % 8 == 0, "the kernel pads per-CPU values to 8 bytes");

    // No value: there is no such key.
    [[nodiscard]] Result<std::optional<Stored>> lookup(const Key& key) const {
        Stored value = blank();
        const auto found = handle_.lookup(bytes_of(key), writable(value));
        if (!found) {
            return std::unexpected(found.error());
        }
        return *found ? std::optional(std::move(value)) : std::nullopt;
    }

    // Every entry, in no order. See MapHandle::entries for what holds while others write.
    [[nodiscard]] Result<std::vector<Entry>> entries() const {
        std::vector<Entry> all;
        const auto done = for_each([&](const Key& key, const Stored& value) { all.emplace_back(key, value); });
        if (!done) {
            return std::unexpected(done.error());
        }
        return all;
    }

    // Calls `visit(key, value)` for every entry of a copy: the visitor may change the map.
    template <std::invocable<const Key&, const Stored&> Visit>
    [[nodiscard]] Result<void> for_each(Visit visit) const {
        const auto raw = handle_.entries();
        if (!raw) {
            return std::unexpected(raw.error());
        }
        Key key;
        Stored value = blank();
        for (std::size_t i = 0; i < raw->count; ++i) {
            std::memcpy(&key, raw->key(i).data(), sizeof(key));
            std::memcpy(writable(value).data(), raw->value(i).data(), raw->value_size);
            std::invoke(visit, std::as_const(key), std::as_const(value));
        }
        return {};
    }

    [[nodiscard]] int fd() const { return handle_.fd(); }

protected:
    explicit MapReader(MapHandle handle) : handle_(std::move(handle)) {}
    MapReader(MapReader&&) noexcept = default;
    MapReader& operator=(MapReader&&) noexcept = default;
    ~MapReader() = default;

    static Stored blank() {
        if constexpr (spec_is_per_cpu<Spec>) {
            return Stored(possible_cpus());
        } else {
            return Stored{};
        }
    }
    static MutableBytes writable(Stored& value) {
        if constexpr (spec_is_per_cpu<Spec>) {
            return std::as_writable_bytes(std::span(value));
        } else {
            return std::as_writable_bytes(std::span(&value, 1));
        }
    }
    static ConstBytes readable(const Stored& value) {
        if constexpr (spec_is_per_cpu<Spec>) {
            return std::as_bytes(std::span(value));
        } else {
            return bytes_of(value);
        }
    }

    MapHandle handle_;
};

// A pinned map, for reading: the kernel itself refuses writes through it.
template <typename Spec>
class ReadOnlyMap : public MapReader<Spec> {
public:
    [[nodiscard]] static Result<ReadOnlyMap> open(const std::filesystem::path& pin) {
        auto handle = MapHandle::open(pin, shape_of<Spec>(), MapAccess::read_only);
        if (!handle) {
            return std::unexpected(handle.error());
        }
        return ReadOnlyMap(std::move(*handle));
    }

private:
    explicit ReadOnlyMap(MapHandle handle) : MapReader<Spec>(std::move(handle)) {}
};

// A map of maps/schema/maps.h by its types: Map<spec::pods_by_ipv4>. Move-only owner of the descriptor; the map
// itself lives on in its pin. Errors, and the state after one, are MapHandle's.
template <typename Spec>
class Map : public MapReader<Spec> {
public:
    using typename MapReader<Spec>::Key;
    using typename MapReader<Spec>::Stored;

    [[nodiscard]] static Result<Map> open(const std::filesystem::path& pin) {
        return wrap(MapHandle::open(pin, shape_of<Spec>(), MapAccess::read_write));
    }
    // Takes the descriptor, also when the map behind it is of another shape.
    [[nodiscard]] static Result<Map> adopt(Fd fd) { return wrap(MapHandle::adopt(std::move(fd), shape_of<Spec>())); }

    // A per-CPU value must have one element for each possible CPU (EINVAL otherwise).
    [[nodiscard]] Result<void> update(const Key& key, const Stored& value, UpdateMode mode = UpdateMode::any) {
        return handle_.update(bytes_of(key), this->readable(value), mode);
    }
    // False: there was no such key.
    [[nodiscard]] Result<bool> erase(const Key& key)
        requires(!is_array(Spec::type))
    {
        return handle_.erase(bytes_of(key));
    }

    // Adds or replaces keys[i] -> values[i]; the spans have one length. In one system call where the kernel can.
    [[nodiscard]] Result<void> update_all(std::span<const Key> keys, std::span<const Stored> values)
        requires(!spec_is_per_cpu<Spec>)
    {
        return handle_.update_all(std::as_bytes(keys), std::as_bytes(values), keys.size());
    }
    // Returns how many of the keys were there.
    [[nodiscard]] Result<std::size_t> erase_all(std::span<const Key> keys)
        requires(!is_array(Spec::type))
    {
        return handle_.erase_all(std::as_bytes(keys), keys.size());
    }

private:
    using MapReader<Spec>::handle_;
    explicit Map(MapHandle handle) : MapReader<Spec>(std::move(handle)) {}
    static Result<Map> wrap(Result<MapHandle> handle) {
        if (!handle) {
            return std::unexpected(handle.error());
        }
        return Map(std::move(*handle));
    }
};

// What all CPUs counted together.
[[nodiscard]] inline packet_counter sum(std::span<const packet_counter> per_cpu) {
    packet_counter total{};
    for (const packet_counter& one : per_cpu) {
        total.packets += one.packets;
        total.bytes += one.bytes;
    }
    return total;
}

// Where the map is pinned: <bpffs>/v1/maps/<name>.
template <typename Spec>
[[nodiscard]] std::filesystem::path pin_path(const std::filesystem::path& bpffs) {
    return map_pin_directory(bpffs) / Spec::name;
}

}  // namespace podlane
