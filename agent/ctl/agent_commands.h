// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/ctl/command.h"

// Commands that ask the agent, through its control socket. No agent: ExitStatus::unreachable.
namespace podlane::ctl {

// degraded when the agent says anything but "ok".
[[nodiscard]] Outcome<ExitStatus> status(const Context& context);
[[nodiscard]] Outcome<ExitStatus> node_list(const Context& context);
[[nodiscard]] Outcome<ExitStatus> pod_list(const Context& context);
[[nodiscard]] Outcome<ExitStatus> link_list(const Context& context);
// ok without an agent, too: then the agent's version is not known.
[[nodiscard]] Outcome<ExitStatus> version(const Context& context);

}  // namespace podlane::ctl
