// SPDX-License-Identifier: Apache-2.0
// Loads every BPF program in every configuration and prints, for each, a line
//   PROGRAM CONFIGURATION INSTRUCTIONS
// with the number of instructions that this kernel's verifier looked at ("processed" in its log). Nothing is pinned or
// attached. Ends with 1, and the verifier's words on stderr, when a program does not load.
#include <bpf/libbpf.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "maps/nat_config.h"
#include "maps/spec.h"
#include "nat_sweep.skel.h"
#include "tc_from_pod.skel.h"
#include "tc_from_underlay.skel.h"
#include "tc_from_uplink.skel.h"
#include "tc_overlay.skel.h"
#include "tc_shim.skel.h"
#include "tc_to_pod.skel.h"
#include "tc_to_underlay.skel.h"
#include "xdp_underlay.skel.h"

namespace {

struct Configuration {
    std::string_view name;
    encapsulation how;
    unsigned link_header_length = ETH_HLEN;
};
constexpr std::array configurations = {
    Configuration{"own-headers", ENCAPSULATION_OWN_HEADERS},
    Configuration{"tunnel-device", ENCAPSULATION_TUNNEL_DEVICE},
};
// For devices without an Ethernet header.
constexpr Configuration l3{"l3", ENCAPSULATION_OWN_HEADERS, 0};

constexpr unsigned log_statistics = 4;  // BPF_LOG_STATS, include/linux/bpf_verifier.h
constexpr std::size_t log_bytes = 1 << 20;

// From "processed 1234 insns (limit 1000000) ..."; negative when the log has no such line.
long processed_instructions(const std::string& log) {
    constexpr std::string_view marker = "processed ";
    const auto at = log.rfind(marker);
    return at == std::string::npos ? -1 : std::atol(log.c_str() + at + marker.size());
}

struct LoggedProgram {
    bpf_program* program;
    std::vector<char> log;
};

std::vector<LoggedProgram> log_programs(bpf_object* object) {
    std::vector<LoggedProgram> programs;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object) {
        auto& logged = programs.emplace_back(LoggedProgram{program, std::vector<char>(log_bytes)});
        bpf_program__set_log_buf(program, logged.log.data(), logged.log.size());
        bpf_program__set_log_level(program, log_statistics);
    }
    return programs;
}

template <typename Skeleton>
bool load(const Configuration& configuration) {
    Skeleton* skeleton = Skeleton::open(nullptr);
    if (skeleton == nullptr) {
        fmt::print(stderr, "cannot open a BPF object: {}\n", std::strerror(errno));
        return false;
    }
    skeleton->rodata_config->config.encapsulation = configuration.how;
    // The largest range there is, so that nothing of the translation is dead code.
    skeleton->rodata_config->config.nat = podlane::nat_config_for(1024, 65535);
    skeleton->rodata_config->config.nat.at_once = 1;
    if constexpr (requires { skeleton->rodata->link_header_length; }) {
        skeleton->rodata->link_header_length = configuration.link_header_length;
    }
    skeleton->rodata_config->config.nat.macvlan = 1;
    const auto programs = log_programs(skeleton->obj);
    const bool loaded = Skeleton::load(skeleton) == 0;
    for (const auto& [program, log] : programs) {
        const std::string text(log.data());
        if (loaded) {
            fmt::print("{} {} {}\n", bpf_program__name(program), configuration.name, processed_instructions(text));
        } else {
            fmt::print(stderr, "{}, {}: does not load\n{}\n", bpf_program__name(program), configuration.name, text);
        }
    }
    Skeleton::destroy(skeleton);
    return loaded;
}

}  // namespace

int main() {
    bool loaded = true;
    for (const auto& configuration : configurations) {
        loaded = load<tc_from_pod>(configuration) && loaded;
        loaded = load<tc_to_pod>(configuration) && loaded;
        loaded = load<tc_from_underlay>(configuration) && loaded;
        loaded = load<tc_to_underlay>(configuration) && loaded;
        loaded = load<tc_overlay>(configuration) && loaded;
        loaded = load<tc_from_uplink>(configuration) && loaded;
        loaded = load<tc_shim>(configuration) && loaded;
        loaded = load<xdp_underlay>(configuration) && loaded;
        loaded = load<nat_sweep>(configuration) && loaded;
    }
    loaded = load<tc_from_uplink>(l3) && loaded;
    loaded = load<tc_to_underlay>(l3) && loaded;
    return loaded ? 0 : 1;
}
