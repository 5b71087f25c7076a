// SPDX-License-Identifier: Apache-2.0
#include "loader/datapath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "loader/libbpf_messages.h"
#include "loader/skeleton.h"
#include "maps/base/fd.h"
#include "nat_sweep.skel.h"
#include "tc_from_pod.skel.h"
#include "tc_from_underlay.skel.h"
#include "tc_overlay.skel.h"
#include "tc_to_pod.skel.h"
#include "tc_to_underlay.skel.h"

namespace podlane {
namespace {

constexpr std::array shared_maps = {
#define PODLANE_MAP_NAME(name, ...) std::string_view(#name),
    PODLANE_MAPS(PODLANE_MAP_NAME)
#undef PODLANE_MAP_NAME
};

Result<void> pin_maps(bpf_object* object, const PinDirectory& pins) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        const std::string_view name = bpf_map__name(map);
        if (std::ranges::find(shared_maps, name) == shared_maps.end()) {
            continue;  // read-only data: of this load alone
        }
        if (const int error = bpf_map__set_pin_path(map, pins.map(name).c_str()); error != 0) {
            return fail_errno(-error, "set the pin path of map {}", name);
        }
    }
    return {};
}

std::uint32_t map_id(int fd) {
    bpf_map_info info{};
    __u32 length = sizeof(info);
    return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0 ? info.id : 0;
}

Result<void> restore_pins_of(bpf_object* object, const PinDirectory& pins, std::vector<std::string>& restored) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        const std::string_view name = bpf_map__name(map);
        if (std::ranges::find(shared_maps, name) == shared_maps.end()) {
            continue;
        }
        const auto path = pins.map(name);
        const Fd pinned(bpf_obj_get(path.c_str()));
        if (map_id(pinned.get()) == map_id(bpf_map__fd(map))) {
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

template <typename Skeleton>
Result<SkeletonPointer<Skeleton>> load_object(const PinDirectory& pins, const datapath_config& config) {
    const LibbpfMessages messages;
    SkeletonPointer<Skeleton> skeleton(Skeleton::open(nullptr));
    if (!skeleton) {
        return fail_errno(errno, "open a BPF object");
    }
    const std::string_view name = bpf_object__name(skeleton->obj);
    skeleton->rodata_config->config = config;
    if (auto pinned = pin_maps(skeleton->obj, pins); !pinned) {
        return std::unexpected(pinned.error());
    }
    if (const int error = Skeleton::load(skeleton.get()); error != 0) {
        const auto reason = std::generic_category().message(-error);
        return std::unexpected(
            Error{-error, fmt::format("load BPF object {}: {}{}", name, reason, LibbpfMessages::last())});
    }
    return skeleton;
}

}  // namespace

struct Datapath::Objects {
    SkeletonPointer<tc_from_pod> from_pod;
    SkeletonPointer<tc_to_pod> to_pod;
    SkeletonPointer<tc_from_underlay> from_underlay;
    SkeletonPointer<tc_to_underlay> to_underlay;
    SkeletonPointer<tc_overlay> overlay;
    SkeletonPointer<nat_sweep> sweep;
};

Datapath::Datapath(std::unique_ptr<Objects> objects) : objects_(std::move(objects)) {}
Datapath::Datapath(Datapath&&) noexcept = default;
Datapath& Datapath::operator=(Datapath&&) noexcept = default;
Datapath::~Datapath() = default;

Result<Datapath> Datapath::load(const PinDirectory& pins, const datapath_config& config) {
    auto objects = std::make_unique<Objects>();
    const auto load_into = [&]<typename Skeleton>(SkeletonPointer<Skeleton>& target) -> Result<void> {
        auto loaded = load_object<Skeleton>(pins, config);
        if (!loaded) {
            return std::unexpected(loaded.error());
        }
        target = std::move(*loaded);
        return {};
    };
    // std::expected has no monadic operations in g++ 12.
    for (const auto& step : std::initializer_list<std::function<Result<void>()>>{
             [&] { return load_into(objects->from_pod); },
             [&] { return load_into(objects->to_pod); },
             [&] { return load_into(objects->from_underlay); },
             [&] { return load_into(objects->to_underlay); },
             [&] { return load_into(objects->overlay); },
             [&] { return load_into(objects->sweep); },
         }) {
        if (auto loaded = step(); !loaded) {
            return std::unexpected(loaded.error());
        }
    }
    return Datapath(std::move(objects));
}

Result<std::vector<std::string>> Datapath::restore_pins(const PinDirectory& pins) const {
    std::vector<std::string> restored;
    for (auto* object : {objects_->from_pod->obj, objects_->to_pod->obj, objects_->from_underlay->obj,
                         objects_->to_underlay->obj, objects_->overlay->obj}) {
        if (auto done = restore_pins_of(object, pins, restored); !done) {
            return std::unexpected(done.error());
        }
    }
    return restored;
}

int Datapath::nat_sweep_fd() const {
    return bpf_program__fd(objects_->sweep->progs.nat_sweep);
}

int Datapath::program_fd(Hook hook) const {
    const bpf_program* program = nullptr;
    switch (hook) {
        case Hook::from_pod:
            program = objects_->from_pod->progs.from_pod;
            break;
        case Hook::to_pod:
            program = objects_->to_pod->progs.to_pod;
            break;
        case Hook::from_underlay:
            program = objects_->from_underlay->progs.from_underlay;
            break;
        case Hook::to_underlay:
            program = objects_->to_underlay->progs.to_underlay;
            break;
        case Hook::from_overlay:
            program = objects_->overlay->progs.from_overlay;
            break;
        case Hook::to_overlay:
            program = objects_->overlay->progs.to_overlay;
            break;
    }
    return bpf_program__fd(program);
}

}  // namespace podlane
