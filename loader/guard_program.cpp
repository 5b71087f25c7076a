// SPDX-License-Identifier: Apache-2.0
#include "loader/guard_program.h"

#include <linux/bpf.h>

#include <utility>

#include "loader/load_object.h"
#include "xdp_underlay.skel.h"

namespace podlane {

struct GuardProgram::Object {
    SkeletonPointer<xdp_underlay> skeleton;
};

GuardProgram::GuardProgram(std::unique_ptr<Object> object) : object_(std::move(object)) {}
GuardProgram::GuardProgram(GuardProgram&&) noexcept = default;
GuardProgram& GuardProgram::operator=(GuardProgram&&) noexcept = default;
GuardProgram::~GuardProgram() = default;

Result<GuardProgram> GuardProgram::load(const PinDirectory& pins, const datapath_config& config, XdpBuffers buffers) {
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
