// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

namespace podlane {

// Sole owner of a libbpf skeleton.
template <typename Skeleton>
struct DestroySkeleton {
    void operator()(Skeleton* skeleton) const { Skeleton::destroy(skeleton); }
};
template <typename Skeleton>
using SkeletonPointer = std::unique_ptr<Skeleton, DestroySkeleton<Skeleton>>;

}  // namespace podlane
