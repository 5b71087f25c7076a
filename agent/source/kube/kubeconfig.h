// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/source/kube/access.h"
#include "maps/base/result.h"

namespace podlane {

// A kubeconfig (client.authentication of kubectl, v1 Config), with the files that it names: those with relative names
// lie beside it. The current context counts. Client certificates, token and tokenFile are what it can authenticate
// with; programs (exec, auth-provider), passwords, impersonation and proxies are refused.
[[nodiscard]] Result<KubeAccess> read_kubeconfig(const std::string& path);

}  // namespace podlane
