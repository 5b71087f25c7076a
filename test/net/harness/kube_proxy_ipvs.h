// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "test/net/harness/kube_proxy.h"

namespace podlane::net {

// Why IPVS cannot be had here; empty when it can.
[[nodiscard]] std::string why_no_ipvs(const Namespace& ns);

// kube-proxy's IPVS mode (v1.20, masquerade bit 14): kube-ipvs0 with the Services' addresses, virtual servers, ipsets
// and the iptables rules that match them. The Services are those of the recorded rules.
void load_ipvs(const Node& node, const Backends& backends, LocalBackend local);

}  // namespace podlane::net
