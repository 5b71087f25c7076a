// SPDX-License-Identifier: Apache-2.0
#include "loader/guard_program.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <cerrno>
#include <utility>

#include "loader/load_object.h"
#include "maps/base/fd.h"
#include "xdp_underlay.skel.h"

namespace podlane {
namespace {

Result<void> require_maps(const PinDirectory& pins) {
    for (const auto name : shared_maps()) {
        const auto pin = pins.map(name);
        if (const Fd map(bpf_obj_get(pin.c_str())); !map.valid()) {
            return fail_errno(errno, "open map {}", pin.string());
        }
    }
    return {};
}

}  // namespace

struct GuardProgram::Object {
    SkeletonPointer<xdp_underlay> skeleton;
};

GuardProgram::GuardProgram(std::unique_ptr<Object> object) : object_(std::move(object)) {}
GuardProgram::GuardProgram(GuardProgram&&) noexcept = default;
GuardProgram& GuardProgram::operator=(GuardProgram&&) noexcept = default;
GuardProgram::~GuardProgram() = default;

Result<GuardProgram> GuardProgram::load(const PinDirectory& pins, const datapath_config& config, XdpBuffers buffers) {
    if (auto there = require_maps(pins); !there) {
        return std::unexpected(there.error());
    }
    auto loaded = load_object<xdp_underlay>(pins, config, [buffers](xdp_underlay& skeleton) {
        if (buffers == XdpBuffers::several) {
            skeleton.rodata->multi_buffer = 1;
            bpf_program__set_flags(skeleton.progs.underlay_guard, BPF_F_XDP_HAS_FRAGS);
        }
    });
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    return GuardProgram(std::make_unique<Object>(Object{std::move(*loaded)}));
}

int GuardProgram::fd() const {
    return bpf_program__fd(object_->skeleton->progs.underlay_guard);
}

}  // namespace podlane
