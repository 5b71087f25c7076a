// SPDX-License-Identifier: Apache-2.0
// Any bytes as the agent's configuration file: an error is one line, and what passes keeps its limits.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/config/config.h"

namespace {

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    podlane::HostFacts host;
    host.host_name = "n1";
    const auto config = podlane::parse_config(text, "fuzz.yaml", host);
    if (!config) {
        require(config.error().message.find('\n') == std::string::npos);
        return 0;
    }
    require(!config->node_name.empty());
    require(config->run_dir.starts_with('/'));
    require(config->bpffs.starts_with('/'));
    require(config->overlay.vni < (1U << 24U));
    require(config->overlay.port != 0);
    require(config->snat.port_range.low <= config->snat.port_range.high);
    return 0;
}
