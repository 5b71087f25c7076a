// SPDX-License-Identifier: Apache-2.0
// Any text as a configuration: it is taken, or refused with one line that names the file.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/config/config_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    podlane::Config config;
    const auto applied = podlane::apply_config_text({reinterpret_cast<const char*>(data), size}, "fuzz", config);
    if (!applied) {
        const auto& message = applied.error().message;
        if (!message.starts_with("fuzz:") || message.find('\n') != std::string::npos) {
            std::abort();
        }
    } else if (config.overlay.port == 0 || config.overlay.vni > 0xffffff) {
        std::abort();
    }
    return 0;
}
