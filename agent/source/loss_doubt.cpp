// SPDX-License-Identifier: Apache-2.0
#include "agent/source/loss_doubt.h"

#include <algorithm>

namespace podlane {

bool LossDoubt::doubts(const Names& listed, const Names& known) {
    const auto lacking = [&](const Names* also) {
        return static_cast<std::size_t>(std::ranges::count_if(known, [&](const std::string& name) {
            return !listed.contains(name) && (also == nullptr || !also->contains(name));
        }));
    };
    const auto lost = lacking(nullptr);
    if (2 * lost <= known.size() || (doubted_ && 2 * lacking(&*doubted_) > known.size())) {
        doubted_.reset();
        loss_ = 0;
        return false;
    }
    doubted_ = listed;
    loss_ = lost;
    return true;
}

}  // namespace podlane
