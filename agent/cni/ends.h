// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/cni/link_requests.h"
#include "agent/cni/sandbox.h"

// What every kind of link takes to be made, taken down and compared, seen from the host and from inside the sandbox.
namespace podlane::cni {

// The two ends to configure an attachment from.
struct Ends {
    Sandbox sandbox;
    RtSocket host;
    RtSocket inside;
};

// Errors carry errno as Sandbox::open() does.
[[nodiscard]] Result<Ends> open_ends(const std::string& netns);

// The request, with `what` in front of its error.
[[nodiscard]] Result<void> perform(RtSocket& socket, RtMessage message, const std::string& what);
// Gone already is as good as removed.
[[nodiscard]] Result<void> delete_link(RtSocket& socket, const LinkInfo& link, const std::string& name);
// Like find_link(), but one that is missing is an error (ENODEV).
[[nodiscard]] Result<LinkInfo> require_link(RtSocket& socket, const std::string& name);

// These two write in the network namespace that the process is in. A kernel without IPv6 has no such setting.
[[nodiscard]] Result<void> disable_ipv6(const std::string& interface);
[[nodiscard]] Result<void> write_sysctl(const std::string& key, const std::string& value);

inline constexpr int loopback_index = 1;  // LOOPBACK_IFINDEX of the kernel, in every namespace

// One line for each difference found between the kernel and what is expected.
using Differences = std::vector<std::string>;
void compare_link(const LinkInfo& link, std::string_view kind, const std::string& name, const MacAddress& mac,
                  Differences& found);
[[nodiscard]] Result<void> compare_address(RtSocket& inside, const LinkInfo& link, const Attachment& expected,
                                           Differences& found);
// Each with its own gateway; a route without one may have any.
[[nodiscard]] Result<void> compare_routes(RtSocket& inside, const LinkInfo& link, const Attachment& expected,
                                          Differences& found);

}  // namespace podlane::cni
