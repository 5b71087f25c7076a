// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "agent/config/config.h"
#include "maps/base/result.h"

namespace podlane {

// Checks what one value alone does not tell. The error begins with the key.
[[nodiscard]] Result<void> validate(const Config& config, const HostFacts& host);

// 20000-29999, unless the host's ephemeral ports are in the way: then the widest range, of up to 10,000 ports,
// that collides neither with them nor with NodePorts. None: fewer than 1,000 ports are free.
[[nodiscard]] std::optional<PortRange> default_port_range(const PortRange& ephemeral);

}  // namespace podlane
