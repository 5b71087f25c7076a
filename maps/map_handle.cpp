// SPDX-License-Identifier: Apache-2.0
#include "maps/map_handle.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <stdexcept>

#include "maps/schema/version.h"

namespace podlane {
namespace {

// Entries of one system call. A batch must hold the longest hash bucket; it grows when the kernel says so (ENOSPC).
constexpr std::uint32_t read_batch = 4096;

std::size_t stored_size(const MapShape& shape) {
    if (!is_per_cpu(shape.type)) {
        return shape.value_size;
    }
    return (shape.value_size + std::size_t{7}) / 8 * 8 * possible_cpus();
}

void compare(std::string& differences, std::string_view what, const std::string& actual, const std::string& wanted) {
    if (actual != wanted) {
        differences += fmt::format("{}{} is {}, not {}", differences.empty() ? "" : ", ", what, actual, wanted);
    }
}

Result<void> check_shape(int fd, const MapShape& wanted) {
    bpf_map_info info{};
    __u32 size = sizeof(info);
    if (bpf_map_get_info_by_fd(fd, &info, &size) != 0) {
        return fail_errno(errno, "inspect map {}", wanted.name);
    }
    std::string differences;
    compare(differences, "the type", map_type_name(static_cast<bpf_map_type>(info.type)), map_type_name(wanted.type));
    compare(differences, "the key size", std::to_string(info.key_size), std::to_string(wanted.key_size));
    compare(differences, "the value size", std::to_string(info.value_size), std::to_string(wanted.value_size));
    compare(differences, "the capacity", std::to_string(info.max_entries), std::to_string(wanted.capacity));
    if (!differences.empty()) {
        return std::unexpected(
            Error{EINVAL, fmt::format("map {} is not what this version uses: {}", wanted.name, differences)});
    }
    return {};
}

// How many elements a failed batch got done. Where the kernel has no such batch it leaves the count as it was.
std::size_t done_before_failure(__u32 reported, std::size_t asked) {
    return reported >= asked ? 0 : reported;
}

}  // namespace

std::size_t possible_cpus() {
    static const int count = libbpf_num_possible_cpus();
    if (count <= 0) {
        // Guessing would let the kernel write past the end of a per-CPU value.
        throw std::runtime_error("read /sys/devices/system/cpu/possible: how many CPUs there may be is unknown");
    }
    return static_cast<std::size_t>(count);
}

std::string map_type_name(bpf_map_type type) {
    const char* name = libbpf_bpf_map_type_str(type);
    return name != nullptr ? name : fmt::format("type-{}", static_cast<unsigned>(type));
}

std::filesystem::path map_pin_directory(const std::filesystem::path& bpffs) {
    return bpffs / fmt::format("v{}", PODLANE_SCHEMA_VERSION) / "maps";
}

Result<MapHandle> MapHandle::open(const std::filesystem::path& pin, const MapShape& wanted, MapAccess access) {
    LIBBPF_OPTS(bpf_obj_get_opts, options, .file_flags = access == MapAccess::read_only ? __u32{BPF_F_RDONLY} : 0U);
    Fd fd(bpf_obj_get_opts(pin.c_str(), &options));
    if (!fd.valid()) {
        return fail_errno(errno, "open map {} at {}", wanted.name, pin.string());
    }
    return adopt(std::move(fd), wanted);
}

Result<MapHandle> MapHandle::adopt(Fd fd, const MapShape& wanted) {
    if (const auto checked = check_shape(fd.get(), wanted); !checked) {
        return std::unexpected(checked.error());
    }
    return MapHandle(std::move(fd), wanted);
}

std::size_t MapHandle::stored_value_size() const {
    return stored_size(shape_);
}

Result<std::uint64_t> MapHandle::memory() const {
    std::ifstream info(fmt::format("/proc/self/fdinfo/{}", fd_.get()));
    std::string field;
    while (info >> field) {
        std::uint64_t bytes = 0;
        if (field == "memlock:" && info >> bytes) {
            return bytes;
        }
    }
    return fail("read the memory of map {}: the kernel does not tell it", shape_.name);
}

std::unexpected<Error> MapHandle::failed(int code, std::string_view operation, ConstBytes key) const {
    // A full hash table says E2BIG, which reads as if the key were too long.
    const bool full = code == E2BIG && operation == "update";
    return fail_errno(full ? ENOSPC : code, "{} {} {}", operation, shape_.name, shape_.key_text(key));
}

Result<bool> MapHandle::lookup(ConstBytes key, MutableBytes value) const {
    if (key.size() != shape_.key_size || value.size() != stored_value_size()) {
        return fail_errno(EINVAL, "look up {}: {} bytes of key, {} of value", shape_.name, key.size(), value.size());
    }
    if (bpf_map_lookup_elem(fd_.get(), key.data(), value.data()) == 0) {
        return true;
    }
    if (errno == ENOENT) {
        return false;
    }
    return failed(errno, "look up", key);
}

Result<void> MapHandle::update(ConstBytes key, ConstBytes value, UpdateMode mode) {
    if (key.size() != shape_.key_size || value.size() != stored_value_size()) {
        return fail_errno(EINVAL, "update {}: {} bytes of key, {} of value", shape_.name, key.size(), value.size());
    }
    if (bpf_map_update_elem(fd_.get(), key.data(), value.data(), static_cast<__u64>(mode)) != 0) {
        return failed(errno, "update", key);
    }
    return {};
}

Result<bool> MapHandle::erase(ConstBytes key) {
    if (key.size() != shape_.key_size) {
        return fail_errno(EINVAL, "erase {}: {} bytes of key", shape_.name, key.size());
    }
    if (bpf_map_delete_elem(fd_.get(), key.data()) == 0) {
        return true;
    }
    if (errno == ENOENT) {
        return false;
    }
    return failed(errno, "erase", key);
}

Result<void> MapHandle::update_all(ConstBytes keys, ConstBytes values, std::size_t count) {
    const std::size_t value_size = stored_value_size();
    if (keys.size() != count * shape_.key_size || values.size() != count * value_size) {
        return fail_errno(EINVAL, "update {}: {} keys but {} values", shape_.name, count, values.size() / value_size);
    }
    auto total = static_cast<__u32>(count);
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    if (count == 0 || bpf_map_update_batch(fd_.get(), keys.data(), values.data(), &total, &options) == 0) {
        return {};
    }
    // One by one from where the batch stopped: the only way on kernels without the batch, and else the way to the
    // error of the very element.
    for (std::size_t i = done_before_failure(total, count); i < count; ++i) {
        const auto done = update(keys.subspan(i * shape_.key_size, shape_.key_size),
                                 values.subspan(i * value_size, value_size), UpdateMode::any);
        if (!done) {
            return done;
        }
    }
    return {};
}

Result<std::size_t> MapHandle::erase_all(ConstBytes keys, std::size_t count) {
    if (keys.size() != count * shape_.key_size) {
        return fail_errno(EINVAL, "erase {}: {} bytes for {} keys", shape_.name, keys.size(), count);
    }
    std::size_t erased = 0;
    for (std::size_t i = 0; i < count; ++i) {
        auto rest = static_cast<__u32>(count - i);
        const ConstBytes from_here = keys.subspan(i * shape_.key_size);
        LIBBPF_OPTS(bpf_map_batch_opts, options);
        if (bpf_map_delete_batch(fd_.get(), from_here.data(), &rest, &options) == 0) {
            return erased + count - i;
        }
        // The batch stops at a key that is not there, or did not start: that one key by itself, then on.
        const std::size_t done = done_before_failure(rest, count - i);
        erased += done;
        i += done;
        const auto removed = erase(keys.subspan(i * shape_.key_size, shape_.key_size));
        if (!removed) {
            return std::unexpected(removed.error());
        }
        erased += *removed ? 1 : 0;
    }
    return erased;
}

Result<RawEntries> MapHandle::entries() const {
    RawEntries all{
        .key_size = shape_.key_size, .value_size = stored_value_size(), .count = 0, .keys = {}, .values = {}};
    if (read_batches(all)) {
        return all;
    }
    all.count = 0;
    if (const auto done = read_one_by_one(all); !done) {
        return std::unexpected(done.error());
    }
    return all;
}

// False: this kernel has no batch for the map's type, or could not finish; what was read so far means nothing.
bool MapHandle::read_batches(RawEntries& all) const {
    std::uint32_t room = std::min(shape_.capacity, read_batch);
    // A hash table's cursor is a bucket number, everyone else's a key.
    std::vector<std::byte> cursor(std::max<std::size_t>(shape_.key_size, sizeof(std::uint32_t)));
    bool started = false;
    while (true) {
        all.keys.resize((all.count + room) * all.key_size);
        all.values.resize((all.count + room) * all.value_size);
        __u32 count = room;
        LIBBPF_OPTS(bpf_map_batch_opts, options);
        const int failed = bpf_map_lookup_batch(fd_.get(), started ? cursor.data() : nullptr, cursor.data(),
                                                &all.keys[all.count * all.key_size],
                                                &all.values[all.count * all.value_size], &count, &options);
        const bool last = failed != 0 && errno == ENOENT;
        if (failed != 0 && !last) {
            if (errno != ENOSPC || room > shape_.capacity) {
                return false;
            }
            room *= 2;
            continue;
        }
        all.count += count;
        if (last) {
            return true;
        }
        started = true;
    }
}

Result<void> MapHandle::read_one_by_one(RawEntries& all) const {
    std::vector<std::byte> key(shape_.key_size);
    std::vector<std::byte> value(all.value_size);
    const std::byte* previous = nullptr;
    // Bounded: where the previous key is gone the kernel starts over from the first.
    while (all.count < shape_.capacity) {
        if (bpf_map_get_next_key(fd_.get(), previous, key.data()) != 0) {
            return errno == ENOENT ? Result<void>{} : fail_errno(errno, "walk map {}", shape_.name);
        }
        previous = key.data();
        const auto found = lookup(key, value);
        if (!found) {
            return std::unexpected(found.error());
        }
        if (*found) {
            all.keys.resize((all.count + 1) * all.key_size);
            all.values.resize((all.count + 1) * all.value_size);
            std::ranges::copy(key, &all.keys[all.count * all.key_size]);
            std::ranges::copy(value, &all.values[all.count * all.value_size]);
            ++all.count;
        }
    }
    return {};
}

}  // namespace podlane
