// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/ctl/command.h"

// `agentctl nat ...`: reads the pinned tables of translations, with or without an agent.
namespace podlane::ctl {

// Live translations. JSON: [{"protocol","podIP","podPort","natIP","natPort","destinationIP","destinationPort","state",
// "expiresSeconds","flags"}].
[[nodiscard]] Outcome<ExitStatus> nat_list(const Context& context);
// Translations by pod, and ports by destination. JSON: {"pods":[{"podIP","translations"}],
// "destinations":[{"protocol","natIP","destinationIP","destinationPort","ports"}]}, those with most of them first.
[[nodiscard]] Outcome<ExitStatus> nat_stats(const Context& context);

}  // namespace podlane::ctl
