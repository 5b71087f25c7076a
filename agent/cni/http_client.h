// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace podlane::cni {

struct HttpRequest {
    std::string method;
    std::string target;  // "/v1/status"
    std::string body;    // JSON, or empty
};

struct HttpResponse {
    int status = 0;
    std::string body;
};

// One HTTP/1.1 request over a unix socket. A response whose body has no Content-Length ends with the connection. Errors
// carry the errno of the socket: ENOENT and ECONNREFUSED say that nobody serves it.
[[nodiscard]] Result<HttpResponse> http_request(const std::string& socket_path, const HttpRequest& request,
                                                std::chrono::milliseconds timeout);

// False while `received` is not a whole response yet; then `response` is untouched.
enum class StreamState { open, ended };
[[nodiscard]] Result<bool> parse_http_response(std::string_view received, StreamState state, HttpResponse& response);

}  // namespace podlane::cni
