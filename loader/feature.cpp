// SPDX-License-Identifier: Apache-2.0
#include "loader/feature.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/ranges.h>

namespace podlane {
namespace {

struct FeatureTraits {
    Feature feature;
    std::string_view name;
    std::string_view lack;  // empty: podlane does without
};

constexpr std::array<FeatureTraits, feature_count> features = {{
    {Feature::tcx, "tcx", ""},
    {Feature::own_headers, "own-headers", ""},
    {Feature::cgroup_memory, "cgroup-memory", ""},
    {Feature::xdp_fragments, "xdp-fragments", ""},
    {Feature::bpf_fs, "bpf-fs", "this kernel lacks the BPF file system (CONFIG_BPF_SYSCALL), which Linux 5.10 has"},
    {Feature::sch_cls, "sch-cls",
     "this kernel cannot load tc programs (BPF_PROG_TYPE_SCHED_CLS, CONFIG_NET), which Linux 5.10 can"},
    {Feature::redirect_peer, "redirect-peer",
     "this kernel lacks the helper bpf_redirect_peer for tc programs, which Linux 5.10 has"},
    {Feature::redirect_neigh, "redirect-neigh",
     "this kernel lacks the helper bpf_redirect_neigh for tc programs, which Linux 5.10 has"},
    {Feature::clsact, "clsact",
     "this kernel has no hooks for tc programs: neither TCX, which Linux 6.6 has, nor clsact with BPF filters "
     "(modules sch_ingress and cls_bpf), which Linux 5.10 has"},
    {Feature::vxlan, "vxlan",
     "this kernel cannot make VXLAN devices (module vxlan, CONFIG_VXLAN), which Linux 5.10 can"},
}};

const FeatureTraits& traits_of(Feature feature) {
    return features[static_cast<std::size_t>(feature)];
}

}  // namespace

std::string_view to_string(Feature feature) {
    return traits_of(feature).name;
}

Result<Feature> parse_feature(std::string_view name) {
    const auto* const found = std::ranges::find(features, name, &FeatureTraits::name);
    if (found == features.end()) {
        std::vector<std::string_view> names(features.size());
        std::ranges::transform(features, names.begin(), &FeatureTraits::name);
        return fail("there is no feature \"{}\": one of {}", name, fmt::join(names, ", "));
    }
    return found->feature;
}

Error missing(Feature feature) {
    return {.code = 0, .message = std::string(traits_of(feature).lack)};
}

std::string FeatureSet::to_string() const {
    std::vector<std::string_view> names;
    for (const auto& one : features) {
        if (contains(one.feature)) {
            names.push_back(one.name);
        }
    }
    return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace podlane
