// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/cni/ends.h"
#include "agent/cni/links.h"

// An interface of the sandbox that an earlier plugin of the chain made and will remove.
namespace podlane::cni {

[[nodiscard]] Outcome<AdoptableLink> inspect_adoptable(Ends& ends, const std::string& if_name);
[[nodiscard]] Result<void> add_adopted_routes(Ends& ends, const Attachment& attachment);
[[nodiscard]] Result<void> remove_adopted_routes(Ends& ends, const Attachment& attachment);

}  // namespace podlane::cni
