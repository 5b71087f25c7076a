// SPDX-License-Identifier: Apache-2.0
#include "loader/load_object.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "maps/base/fd.h"
#include "maps/catalog.h"

namespace podlane {
namespace {

constexpr std::array map_names = {
#define PODLANE_MAP_NAME(name, ...) std::string_view(#name),
    PODLANE_MAPS(PODLANE_MAP_NAME)
#undef PODLANE_MAP_NAME
};

// Maps whose entries refer to one another: with one of them empty the others hold claims that nobody gives up, count
// what is no more, or miss what is. (nat_fragments does not: its datagrams are over in a moment.)
constexpr std::array<std::string_view, 5> translations = {
    spec::nat_by_flow::name, spec::nat_by_reply::name, spec::nat_flows_by_pod::name,
    spec::nat_ports_by_destination::name, spec::nat_given_ports::name};

bool is_translation(std::string_view name) {
    return std::ranges::find(translations, name) != translations.end();
}

bool is_shared(std::string_view name) {
    return std::ranges::find(map_names, name) != map_names.end();
}

enum class PinState { missing, outdated, good };

PinState state_of(const PinDirectory& pins, const MapShape& shape) {
    const auto pinned = MapHandle::open(pins.map(shape.name), shape, MapAccess::read_only);
    if (pinned) {
        return PinState::good;
    }
    // Another error is the loading's to name.
    return pinned.error().code == ENOENT   ? PinState::missing
           : pinned.error().code == EINVAL ? PinState::outdated
                                           : PinState::good;
}

Result<void> unpin(const PinDirectory& pins, std::string_view name) {
    const auto path = pins.map(name);
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
        return fail_errno(errno, "remove pin {}", path.string());
    }
    return {};
}

// Which of the maps of translations are unfit, while at least one has entries to lose.
std::vector<std::string> unfit_translations(const PinDirectory& pins) {
    std::vector<std::string> unfit;
    bool all_missing = true;
    for (const auto& map : map_catalog()) {
        if (!is_translation(map.shape.name)) {
            continue;
        }
        const auto state = state_of(pins, map.shape);
        all_missing = all_missing && state == PinState::missing;
        if (state != PinState::good) {
            unfit.emplace_back(map.shape.name);
        }
    }
    return all_missing ? std::vector<std::string>() : unfit;
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
        if (is_translation(map.shape.name) || state_of(pins, map.shape) != PinState::outdated) {
            continue;
        }
        if (auto unpinned = unpin(pins, map.shape.name); !unpinned) {
            return std::unexpected(unpinned.error());
        }
        removed.emplace_back(map.shape.name);
    }
    const auto unfit = unfit_translations(pins);
    if (unfit.empty()) {
        return removed;
    }
    for (const auto& name : translations) {
        if (auto unpinned = unpin(pins, name); !unpinned) {
            return std::unexpected(unpinned.error());
        }
    }
    removed.push_back(fmt::format("{} (all translations are lost with it)", fmt::join(unfit, ", ")));
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
