// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "agent/http/http_client.h"
#include "agent/source/kube/access.h"

namespace podlane {

// A request to the API server, for `target` ("/api/v1/nodes?limit=500"), with what shows who asks.
[[nodiscard]] HttpQuery kube_request(const KubeAccess& access, std::string_view target, const HttpTimeouts& timeouts);

// As part of a query (RFC 3986, 2.3: what need not be encoded is not).
[[nodiscard]] std::string percent_encoded(std::string_view text);

// "403: nodes is forbidden: User ... cannot list resource ...": `body` is a Status, or plain text.
[[nodiscard]] std::string describe_refusal(int status, const std::string& body);
// Enough of a refusal to say what it is, bytes.
inline constexpr std::size_t longest_refusal = 4096;

}  // namespace podlane
