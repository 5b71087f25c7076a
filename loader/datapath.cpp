// SPDX-License-Identifier: Apache-2.0
#include "loader/datapath.h"

#include <bpf/libbpf.h>

#include <functional>
#include <initializer_list>
#include <optional>
#include <utility>

#include "loader/load_object.h"
#include "loader/skeleton.h"
#include "nat_sweep.skel.h"
#include "tc_from_pod.skel.h"
#include "tc_from_underlay.skel.h"
#include "tc_from_uplink.skel.h"
#include "tc_overlay.skel.h"
#include "tc_shim.skel.h"
#include "tc_to_pod.skel.h"
#include "tc_to_underlay.skel.h"

namespace podlane {

struct Datapath::Objects {
    SkeletonPointer<tc_from_pod> from_pod;
    SkeletonPointer<tc_to_pod> to_pod;
    SkeletonPointer<tc_from_underlay> from_underlay;
    SkeletonPointer<tc_to_underlay> to_underlay;
    SkeletonPointer<tc_overlay> overlay;
    SkeletonPointer<tc_from_uplink> from_uplink;
    SkeletonPointer<tc_from_uplink> from_l3_uplink;
    SkeletonPointer<tc_to_underlay> to_l3_uplink;
    SkeletonPointer<tc_shim> shim;
    SkeletonPointer<nat_sweep> sweep;
    std::optional<Error> l3_failure;
};

Datapath::Datapath(std::unique_ptr<Objects> objects) : objects_(std::move(objects)) {}
Datapath::Datapath(Datapath&&) noexcept = default;
Datapath& Datapath::operator=(Datapath&&) noexcept = default;
Datapath::~Datapath() = default;

namespace {

constexpr unsigned no_link_header = 0;

template <typename Skeleton>
Result<void> load_into(SkeletonPointer<Skeleton>& target, const PinDirectory& pins, const datapath_config& config,
                       unsigned link_header_length = ETH_HLEN) {
    auto loaded = load_object<Skeleton>(pins, config, [&](Skeleton& skeleton) {
        if constexpr (requires { skeleton.rodata->link_header_length; }) {
            skeleton.rodata->link_header_length = link_header_length;
        }
    });
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    target = std::move(*loaded);
    return {};
}

}  // namespace

Result<Datapath> Datapath::load(const PinDirectory& pins, const datapath_config& config) {
    auto objects = std::make_unique<Objects>();
    // std::expected has no monadic operations in g++ 12.
    for (const auto& step : std::initializer_list<std::function<Result<void>()>>{
             [&] { return load_into(objects->from_pod, pins, config); },
             [&] { return load_into(objects->to_pod, pins, config); },
             [&] { return load_into(objects->from_underlay, pins, config); },
             [&] { return load_into(objects->to_underlay, pins, config); },
             [&] { return load_into(objects->overlay, pins, config); },
             [&] { return load_into(objects->from_uplink, pins, config); },
             [&] { return load_into(objects->shim, pins, config); },
             [&] { return load_into(objects->sweep, pins, config); },
         }) {
        if (auto loaded = step(); !loaded) {
            return std::unexpected(loaded.error());
        }
    }
    return Datapath(std::move(objects));
}

Result<void> Datapath::load_l3(const PinDirectory& pins, const datapath_config& config) {
    if (objects_->to_l3_uplink) {
        return {};
    }
    if (objects_->l3_failure) {
        return std::unexpected(*objects_->l3_failure);
    }
    auto loaded = load_into(objects_->from_l3_uplink, pins, config, no_link_header);
    if (loaded) {
        loaded = load_into(objects_->to_l3_uplink, pins, config, no_link_header);
    }
    if (!loaded) {
        objects_->from_l3_uplink.reset();
        objects_->l3_failure = loaded.error();
    }
    return loaded;
}

Result<std::vector<std::string>> Datapath::restore_pins(const PinDirectory& pins) const {
    std::vector<std::string> restored;
    for (auto* object :
         {objects_->from_pod->obj, objects_->to_pod->obj, objects_->from_underlay->obj, objects_->to_underlay->obj,
          objects_->overlay->obj, objects_->from_uplink->obj, objects_->shim->obj}) {
        if (auto done = restore_map_pins(object, pins, restored); !done) {
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
        case Hook::from_uplink:
            program = objects_->from_uplink->progs.from_uplink;
            break;
        case Hook::from_l3_uplink:
            program = objects_->from_l3_uplink ? objects_->from_l3_uplink->progs.from_uplink : nullptr;
            break;
        case Hook::to_l3_uplink:
            program = objects_->to_l3_uplink ? objects_->to_l3_uplink->progs.to_underlay : nullptr;
            break;
        case Hook::from_shim:
            program = objects_->shim->progs.from_shim;
            break;
        case Hook::to_shim:
            program = objects_->shim->progs.to_shim;
            break;
    }
    return program == nullptr ? -1 : bpf_program__fd(program);
}

}  // namespace podlane
