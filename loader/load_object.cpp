// SPDX-License-Identifier: Apache-2.0
#include "loader/load_object.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "maps/base/fd.h"
#include "maps/catalog.h"

namespace podlane {
namespace {

constexpr std::array map_names = {
#define PODLANE_MAP_NAME(name, ...) std::string_view(#name),
    PODLANE_MAPS(PODLANE_MAP_NAME)
#undef PODLANE_MAP_NAME
};

bool is_shared(std::string_view name) {
    return std::ranges::find(map_names, name) != map_names.end();
}

// 0: no map.
std::uint32_t map_id(int fd) {
    bpf_map_info info{};
    __u32 length = sizeof(info);
    return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0 ? info.id : 0;
}

}  // namespace

std::span<const std::string_view> shared_maps() {
    return map_names;
}

Result<void> pin_maps(bpf_object* object, const PinDirectory& pins) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        const std::string_view name = bpf_map__name(map);
        if (!is_shared(name)) {
            continue;
        }
        if (const int error = bpf_map__set_pin_path(map, pins.map(name).c_str()); error != 0) {
            return fail_errno(-error, "set the pin path of map {}", name);
        }
    }
    return {};
}

Result<std::vector<std::string>> remove_outdated_pins(const PinDirectory& pins) {
    std::vector<std::string> removed;
    for (const auto& map : map_catalog()) {
        const auto path = pins.map(map.shape.name);
        const auto pinned = MapHandle::open(path, map.shape, MapAccess::read_only);
        if (pinned || pinned.error().code != EINVAL) {
            continue;
        }
        if (unlink(path.c_str()) != 0) {
            return fail_errno(errno, "remove pin {}", path.string());
        }
        removed.emplace_back(map.shape.name);
    }
    return removed;
}

Result<void> restore_map_pins(bpf_object* object, const PinDirectory& pins, std::vector<std::string>& restored) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        const std::string_view name = bpf_map__name(map);
        const auto path = pins.map(name);
        if (!is_shared(name) || map_id(Fd(bpf_obj_get(path.c_str())).get()) == map_id(bpf_map__fd(map))) {
            continue;
        }
        unlink(path.c_str());
        if (bpf_obj_pin(bpf_map__fd(map), path.c_str()) != 0) {
            return fail_errno(errno, "pin map {}", path.string());
        }
        restored.emplace_back(name);
    }
    return {};
}

}  // namespace podlane
