// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/cni/ends.h"

// A veth pair, one side in the host's namespace. See Links for what each of these promises.
namespace podlane::cni {

[[nodiscard]] Result<void> create_veth(Ends& ends, const Attachment& attachment);
// Removes the pair by its host side.
[[nodiscard]] Result<void> remove_veth_on_host(RtSocket& host, const std::string& name);
[[nodiscard]] Result<Differences> compare_veth(Ends& ends, const Attachment& expected);

}  // namespace podlane::cni
