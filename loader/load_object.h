// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

#include <cerrno>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "loader/bpffs.h"
#include "loader/libbpf_messages.h"
#include "loader/skeleton.h"
#include "maps/base/result.h"
#include "maps/spec.h"

namespace podlane {

// The maps of the schema, which all programs share.
[[nodiscard]] std::span<const std::string_view> shared_maps();

// Gives every map of the schema in the object its pin. The rest, read-only data, is of one load alone.
[[nodiscard]] Result<void> pin_maps(bpf_object* object, const PinDirectory& pins);

// Pins those again that somebody unpinned, or put another map in the place of, and appends their names to `restored`.
[[nodiscard]] Result<void> restore_map_pins(bpf_object* object, const PinDirectory& pins,
                                            std::vector<std::string>& restored);

// Unpins the maps that are pinned with another shape than the schema's, as an earlier podlane left them, and returns
// their names, for people: what loads next makes them anew. Programs that are attached keep the old ones until they are
// replaced. Where one of the maps of translations is unfit, or is not there while others are (an agent that ended
// half-way through this), all of them go, since they only make sense together.
[[nodiscard]] Result<std::vector<std::string>> remove_outdated_pins(const PinDirectory& pins);

// Opens a skeleton, configures it, lets `prepare` change what is open, and loads it: the maps that are pinned already
// are taken over, the others made and pinned. An error names the object and ends with the verifier's words.
template <typename Skeleton, typename Prepare>
Result<SkeletonPointer<Skeleton>> load_object(const PinDirectory& pins, const datapath_config& config,
                                              Prepare&& prepare) {
    const LibbpfMessages messages;
    SkeletonPointer<Skeleton> skeleton(Skeleton::open(nullptr));
    if (!skeleton) {
        return fail_errno(errno, "open a BPF object");
    }
    const std::string_view name = bpf_object__name(skeleton->obj);
    skeleton->rodata_config->config = config;
    std::forward<Prepare>(prepare)(*skeleton);
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

}  // namespace podlane
